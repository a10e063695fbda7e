import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { dirname, join } from "node:path";
import { tempDir } from "@keelson/testkit";
import { describe, expect, it } from "vitest";
import { directoryChecks } from "./directories.ts";
import { etcdCheck, judgeMajority, type MemberProbe, reachTcp } from "./etcd.ts";
import { fleetdCheck } from "./fleetd.ts";
import type { Check } from "./gate.ts";
import { judgeFailed, systemdCheck } from "./systemd.ts";

const SIGNAL = new AbortController().signal;
const look = async (check: Check) => {
  const { outcome, detail } = await check.look(SIGNAL);
  return detail === "" ? outcome : `${outcome}: ${detail}`;
};

describe("directories of checks", () => {
  async function scripts(files: Record<string, string | null>) {
    const dir = await tempDir("checks");
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(dir.join(name)), { recursive: true });
      if (text === null) await symlink("/dev/null", dir.join(name));
      else await writeFile(dir.join(name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    }
    return dir;
  }
  const found = async (dirs: string[], timeoutMs?: number) => await directoryChecks(dirs, timeoutMs)();

  it("runs what is there; later directories replace, /dev/null takes away", async () => {
    await using usr = await scripts({
      "10-a": "exit 0",
      "required.d/20-b": "echo one; echo two >&2; exit 3",
      "wanted.d/30-c": "exit 1",
      "40-gone": "exit 1",
      "50-replaced": "exit 1",
      README: "exit 1",
      ".hidden": "exit 1",
      "backup~": "exit 1",
    });
    await using etc = await scripts({ "required.d/50-replaced": "exit 77", "40-gone": null });
    const checks = await found([usr.path, etc.path, "/nowhere"]);
    expect(checks.map((c) => [c.name, c.isRequired])).toEqual([
      ["10-a", true],
      ["20-b", true],
      ["30-c", false],
      ["50-replaced", true],
    ]);
    expect(await Promise.all(checks.map(look))).toEqual([
      "passed",
      "failed: exited with 3: one\ntwo",
      "failed: exited with 1",
      "skipped",
    ]);
  });

  it("those of the image are checks, and pass where their machine is one", async () => {
    const shipped = join(import.meta.dirname, "../../../../image/rootfs/usr/lib/keelson/checks.d");
    const checks = await found([shipped]);
    expect(checks.map((c) => [c.name, c.isRequired])).toEqual([
      ["10-clock", false],
      ["10-var-writable", true],
    ]);
    expect(await look(checks[0] as Check)).toBe("passed");
  });

  it("keeps the last ten lines, and does not wait for what hangs or leaves children", async () => {
    await using dir = await scripts({
      lines: "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line $i; done; exit 1",
      stuck: "sleep 600 & sleep 600",
    });
    const [lines, stuck] = await found([dir.path], 300);
    expect(await look(lines as Check)).toBe(
      `failed: exited with 1: ${Array.from({ length: 10 }, (_, i) => `line ${i + 21}`).join("\n")}`,
    );
    expect(await look(stuck as Check)).toMatch(/did not end within 300 ms$/);
  });

  it("a file that nobody may execute fails by name", async () => {
    await using dir = await scripts({ x: "exit 0" });
    await chmod(dir.join("x"), 0o644);
    const [x] = await found([dir.path]);
    expect(await look(x as Check)).toMatch(/is not an executable file$/);
  });
});

describe("systemd", () => {
  const answer = (state: string, ...failed: [id: string, path: string][]) =>
    systemdCheck(async ([verb, , ...args]) => {
      if (verb === "is-system-running") return `${state}\n`;
      if (verb === "list-units") return failed.map(([id]) => `${id} loaded failed failed What it is\n`).join("");
      expect(args).toEqual(["--", ...failed.map(([id]) => id)]);
      return failed.map(([id, path]) => `Id=${id}\nFragmentPath=${path}\n`).join("\n");
    });
  const etcd: [string, string] = ["etcd.service", "/usr/lib/systemd/system/etcd.service"];
  const web: [string, string] = ["web@1.service", "/run/fleet/units/web@1.service"];
  it.each<[string, Check, string]>([
    ["running", answer("running"), "passed"],
    ["still starting", answer("starting"), "failed: the system is starting"],
    ["no answer", answer(""), "failed: the system is unknown"],
    ["a unit of the image failed", answer("degraded", etcd, web), "failed: failed: etcd.service"],
    ["only a unit of fleet failed", answer("degraded", web), "passed: failed, but not of the image: web@1.service"],
    ["it has recovered in between", answer("degraded"), "passed"],
  ])("%s", async (_title, check, want) => expect(await look(check)).toBe(want));

  it("an empty answer names no unit", () => expect(judgeFailed("")).toEqual({ outcome: "passed", detail: "" }));
});

describe("etcd", () => {
  const member = (id: string, name = `m${id}`) => ({ id, name, clientUrls: [`http://${id}`], isLearner: false });
  const probe = (changes: Partial<MemberProbe> = {}): MemberProbe => ({
    ownId: async () => "1",
    members: async () => [member("1"), member("2"), member("3")],
    read: async () => {},
    reach: async () => "answers",
    ...changes,
  });
  const noRead = { read: () => Promise.reject(new Error("no leader")) };
  it.each<[string, Partial<MemberProbe>, string]>([
    ["well", {}, "passed"],
    [
      "removed from the cluster",
      { members: async () => [member("2")] },
      "failed: member 1 is not in the list of its cluster",
    ],
    ["never started", { members: async () => [member("1", "")] }, "failed: member 1 has not started"],
    [
      "the others answer and yet no read passes",
      noRead,
      "failed: no read passes although 3 of 3 members answer: no leader",
    ],
    [
      "one of them is enough for a majority",
      { ...noRead, reach: async (m) => (m.id === "2" ? "answers" : "silent") },
      "failed: no read passes although 2 of 3 members answer: no leader",
    ],
    [
      "the others are off",
      { ...noRead, reach: async () => "silent" },
      "passed: only 1 of 3 members are up; that is not this machine's fault",
    ],
    [
      "no network here",
      { ...noRead, reach: async () => "no-network" },
      "failed: this machine has no network to the other members",
    ],
    [
      "alone, and broken",
      { ...noRead, members: async () => [member("1")] },
      "failed: no read passes although 1 of 1 members answer: no leader",
    ],
  ])("%s", async (_title, changes, want) => expect(await look(etcdCheck(probe(changes)))).toBe(want));

  it("a learner is no voter", () => {
    expect(judgeMajority(["silent"], true, "x").detail).toBe(
      "only 0 of 1 members are up; that is not this machine's fault",
    );
  });

  it("a refused connection is an answer; no listener at all is not needed", async () => {
    const server = createTcpServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as AddressInfo;
    expect(await reachTcp(`http://127.0.0.1:${port}`, SIGNAL)).toBe("answers");
    await new Promise((resolve) => server.close(resolve));
    expect(await reachTcp(`http://127.0.0.1:${port}`, SIGNAL)).toBe("answers");
    expect(await reachTcp("not a url", SIGNAL)).toBe("silent");
  });
});

describe("fleetd", () => {
  async function fleetd(answers: Record<string, [number, string]>) {
    const dir = await tempDir("fleetd");
    const server = createServer((request, response) => {
      const [status, body] = answers[request.url ?? ""] ?? [404, ""];
      response.writeHead(status).end(body);
    });
    const path = dir.join("fleet.sock");
    await new Promise<void>((resolve) => void server.listen(path, resolve));
    return {
      path,
      async [Symbol.asyncDispose]() {
        await new Promise((resolve) => server.close(resolve));
        await dir[Symbol.asyncDispose]();
      },
    };
  }
  const sick: [number, string] = [503, '{"health":"false","reason":"etcd does not answer"}'];
  it.each<[string, Record<string, [number, string]>, boolean, string]>([
    ["well", { "/livez": [200, ""], "/health": [200, ""] }, false, "passed"],
    ["half dead", { "/livez": [500, ""] }, false, "failed: GET /livez is answered with 500"],
    ["not in the cluster", { "/livez": [200, ""], "/health": sick }, false, "failed: etcd does not answer"],
    [
      "nor can it be",
      { "/livez": [200, ""], "/health": sick },
      true,
      "passed: etcd does not answer; etcd's majority is away",
    ],
    [
      "and does not say why",
      { "/livez": [200, ""], "/health": [503, "<html>"] },
      false,
      "failed: it says that it is not healthy",
    ],
  ])("%s", async (_title, answers, isMajorityAway, want) => {
    await using server = await fleetd(answers);
    expect(await look(fleetdCheck(server.path, { isMajorityAway }))).toBe(want);
  });

  it("nobody listens", async () => {
    await expect(fleetdCheck("/nowhere/fleet.sock").look(SIGNAL)).rejects.toThrow("ENOENT");
  });
});
