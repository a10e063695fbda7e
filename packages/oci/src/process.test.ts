import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type ImageConfig,
  parseSignal,
  processDefaults,
  type RunConfig,
  resolveUser,
  UserLookupError,
} from "./index.ts";
import { returnsOrThrows } from "./testing/thrown-by.ts";

const PASSWD = "root:x:0:0:root:/root:/bin/sh\n# c\nweb:x:1000:1001::/srv:/bin/sh\nbroken\n5:x:77:78::/five:/bin/sh\n";
const GROUP = "root:x:0:\nweb:x:1001:\nadm:x:4:web,other\nlog:x:9:web\n";
const FILES = { passwd: PASSWD, group: GROUP };
const NONE = { passwd: undefined, group: undefined };

describe("resolveUser", () => {
  it.each([
    ["", "0:0 [] /root"],
    ["root", "0:0 [] /root"],
    ["web", "1000:1001 [4,9] /srv"],
    ["1000", "1000:1001 [4,9] /srv"],
    ["web:adm", "1000:4 [] /srv"],
    ["web:5", "1000:5 [] /srv"],
    ["1234", "1234:0 [] -"],
    ["1234:5678", "1234:5678 [] -"],
    ["5", "5:0 [] -"],
  ])("%j is %s", (spec, want) => {
    const { uid, gid, additionalGids, home } = resolveUser(spec, FILES);
    expect(`${uid}:${gid} [${additionalGids.join(",")}] ${home ?? "-"}`).toBe(want);
  });

  it.each([
    ["nobody", FILES, /not in the image's \/etc\/passwd/],
    ["nobody", NONE, /has no \/etc\/passwd/],
    ["web:nogroup", FILES, /not in the image's \/etc\/group/],
    ["a:b:c", FILES, /more than one colon/],
    ["4294967295", FILES, /out of range/],
    ["-1", FILES, /not in/],
  ])("refuses %j", (spec, files, why) => {
    expect(() => resolveUser(spec, files)).toThrow(UserLookupError);
    expect(() => resolveUser(spec, files)).toThrow(why);
  });

  it("gives ids within their range for any files", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (spec, passwd, group) => {
        const check = () => {
          const { uid, gid } = resolveUser(spec, { passwd, group });
          expect(Number.isInteger(uid) && uid >= 0 && Number.isInteger(gid) && gid >= 0).toBe(true);
        };
        expect(returnsOrThrows(check, UserLookupError)).toBe(true);
      }),
    );
  });
});

describe("processDefaults", () => {
  const run: RunConfig = {
    user: "",
    env: [],
    entrypoint: ["/e"],
    cmd: ["c"],
    workingDir: "",
    labels: {},
    exposedPorts: [],
    volumes: [],
  };
  const image = (more: Partial<RunConfig> = {}): ImageConfig => ({
    architecture: "amd64",
    os: "linux",
    diffIds: [],
    run: { ...run, ...more },
  });

  it.each([
    ["the image's own", {}, ["/e", "c"]],
    ["arguments replace cmd", { args: ["x"] }, ["/e", "x"]],
    ["no arguments are also some", { args: [] }, ["/e"]],
    ["an entrypoint takes cmd away", { entrypoint: ["/f"] }, ["/f"]],
    ["both", { entrypoint: ["/f"], args: ["y"] }, ["/f", "y"]],
  ])("args: %s", (_title, overrides, want) => expect(processDefaults(image(), FILES, overrides).args).toEqual(want));

  it("keeps the image's variables, lets the caller's win, and adds only what is missing", () => {
    const { env } = processDefaults(image({ env: ["PATH=/x", "A=1"], user: "web" }), FILES, { env: ["A=2", "B=3"] });
    expect(env).toEqual(["PATH=/x", "A=2", "B=3", "HOME=/srv"]);
    expect(processDefaults(image(), FILES).env[0]).toMatch(/^PATH=\/usr\/local\/sbin:/);
  });

  it("gives signals, directory and annotations; labels win", () => {
    const labels = { "org.opencontainers.image.os": "mine", x: "y" };
    const result = processDefaults(image({ stopSignal: "SIGRTMIN+3", workingDir: "srv", labels }), FILES);
    expect(result.stopSignal).toBe(37);
    expect(result.cwd).toBe("/srv");
    expect(result.annotations).toMatchObject({
      "org.opencontainers.image.os": "mine",
      "org.opencontainers.image.architecture": "amd64",
      x: "y",
    });
  });

  it.each([
    [{ entrypoint: [], cmd: [] }, /no command/],
    [{ stopSignal: "SIGNOT" }, /no signal/],
    [{ user: "ghost" }, /ghost/],
  ])("refuses %j", (more, why) => expect(() => processDefaults(image(more), FILES)).toThrow(why));

  it.each([
    ["TERM", 15],
    ["sigkill", 9],
    ["10", 10],
    ["0", undefined],
    ["65", undefined],
    ["RTMAX-1", 63],
    ["RTMIN-1", undefined],
    ["toString", undefined],
  ])("signal %s is %s", (text, want) => expect(parseSignal(text)).toBe(want));
});
