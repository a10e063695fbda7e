import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseReference } from "@keelson/oci";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadCredentials, RegistryConfig, RegistryConfigError } from "./index.ts";

let dir = "";
beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), "keelson-registry-"))));
afterEach(() => rm(dir, { recursive: true }));

async function write(name: string, content: unknown): Promise<string> {
  const path = join(dir, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}
const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("loadCredentials", () => {
  it("takes the most specific key of the first file that has one", async () => {
    const podman = await write("auth.json", {
      auths: {
        "quay.io": { auth: base64("all:1") },
        "quay.io/team": { auth: base64("team:p:w") },
        "https://index.docker.io/v1/": { auth: base64("hub:2") },
        "id.example": { auth: base64("x:y"), identitytoken: "token" },
        empty: {},
      },
      credHelpers: { x: "y" },
    });
    const docker = await write("docker.json", {
      auths: { "quay.io": { auth: base64("other:3") }, "ghcr.io": { auth: base64("gh:4") } },
    });
    await write("auth.d/a.json", {
      rktKind: "dockerAuth",
      rktVersion: "v1",
      registries: ["rkt.example"],
      credentials: { user: "r", password: "5" },
    });
    await write("auth.d/b.json", {
      rktKind: "auth",
      rktVersion: "v1",
      type: "basic",
      domains: ["dom.example"],
      credentials: { user: "d", password: "6" },
    });
    await write("auth.d/c.json", {
      rktKind: "auth",
      rktVersion: "v1",
      type: "oauth",
      domains: ["oauth.example"],
      credentials: { token: "t" },
    });
    const store = await loadCredentials({
      authFiles: [podman, docker, join(dir, "missing")],
      rktDirectories: [join(dir, "auth.d"), join(dir, "none")],
    });
    const show = (registry: string, repository: string) => {
      const found = store.find(registry, repository);
      return found === undefined
        ? undefined
        : found.kind === "basic"
          ? `${found.username}/${found.password}`
          : found.token;
    };
    expect(show("quay.io", "team/app")).toBe("team/p:w");
    expect(show("quay.io", "teams/app")).toBe("all/1");
    expect(show("docker.io", "library/debian")).toBe("hub/2");
    expect(show("id.example", "a")).toBe("token");
    expect(show("ghcr.io", "a")).toBe("gh/4");
    expect(show("rkt.example", "a/b")).toBe("r/5");
    expect(show("dom.example", "a")).toBe("d/6");
    expect(show("oauth.example", "a")).toBe(undefined);
    expect(show("evil-quay.io", "a")).toBe(undefined);
  });

  it.each([
    ["no JSON", "{"],
    ["no object", "[]"],
    ["no base64 of user:password", { auths: { "a.example": { auth: base64("secret-without-colon") } } }],
  ])("names the file that cannot be used (%s), and nothing that is in it", async (_title, content) => {
    const path = await write("auth.json", content);
    const error = await loadCredentials({ authFiles: [path] }).then(
      () => undefined,
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(RegistryConfigError);
    expect((error as Error).message).toContain(path);
    expect(String((error as Error).cause)).not.toContain("secret");
  });

  it("refuses one registry in two files of rkt's", async () => {
    const file = {
      rktKind: "dockerAuth",
      rktVersion: "v1",
      registries: ["a.example"],
      credentials: { user: "r", password: "5" },
    };
    await write("auth.d/a.json", file);
    await write("auth.d/b.json", file);
    await expect(loadCredentials({ rktDirectories: [join(dir, "auth.d")] })).rejects.toMatchObject({
      code: "ERR_REGISTRY_CONFIG",
    });
  });
});

describe("RegistryConfig", () => {
  const show = (config: RegistryConfig, name: string) =>
    config
      .endpoints(parseReference(name))
      .map((e) => `${e.origin}/${e.repository}${e.verifyTls ? "" : " unverified"} as ${e.credentialHost}`);

  it.each([
    ["debian", ["https://registry-1.docker.io/library/debian as docker.io"]],
    ["quay.io/a/b", ["https://quay.io/a/b as quay.io"]],
    ["localhost:5000/a", ["http://localhost:5000/a unverified as localhost:5000"]],
    ["127.0.0.1/a", ["http://127.0.0.1/a unverified as 127.0.0.1"]],
    ["10.0.0.1:5000/a", ["https://10.0.0.1:5000/a as 10.0.0.1:5000"]],
    ["127.0.0.1.example/a", ["https://127.0.0.1.example/a as 127.0.0.1.example"]],
  ])("without configuration %s is at %j", (name, want) => expect(show(new RegistryConfig(), name)).toEqual(want));

  it("the longest prefix counts; only whole parts of a name are prefixes", () => {
    const config = new RegistryConfig({
      registries: [
        { prefix: "docker.io", mirrors: [{ location: "hub.example:5000/hub" }] },
        {
          prefix: "docker.io/library",
          mirrors: [
            { location: "10.77.1.2:5000", tls: "off" },
            { location: "m.example/lib", tls: "skip-verify" },
          ],
        },
        { prefix: "old.example", location: "new.example/moved" },
        { prefix: "bad.example", blocked: true },
      ],
    });
    expect(show(config, "debian")).toEqual([
      "http://10.77.1.2:5000/debian unverified as 10.77.1.2:5000",
      "https://m.example/lib/debian unverified as m.example",
      "https://registry-1.docker.io/library/debian as docker.io",
    ]);
    expect(show(config, "docker.io/librarian/x")[0]).toBe(
      "https://hub.example:5000/hub/librarian/x as hub.example:5000",
    );
    expect(show(config, "old.example/a")).toEqual(["https://new.example/moved/a as new.example"]);
    expect(() => show(config, "bad.example/a")).toThrow(/blocks bad\.example/);
  });

  it("reads directories; later ones win by file name and by prefix", async () => {
    await write("usr/a.json", { registries: [{ prefix: "a.example", location: "one.example" }] });
    await write("usr/b.json", { registries: [{ prefix: "b.example", location: "two.example" }] });
    await write("etc/a.json", { registries: [] });
    await write("etc/c.json", { registries: [{ prefix: "b.example", location: "three.example" }] });
    await write("etc/readme.txt", "no configuration");
    const config = await RegistryConfig.load([join(dir, "usr"), join(dir, "etc"), join(dir, "none")]);
    expect(show(config, "a.example/x")).toEqual(["https://a.example/x as a.example"]);
    expect(show(config, "b.example/x")).toEqual(["https://three.example/x as three.example"]);
  });

  it.each([
    ["{", /cannot read/],
    [{ registries: [{ prefix: "https://x" }] }, /is not host/],
    [{ registries: [{ prefix: "a.example", mirrors: [{ location: "b/../c" }] }] }, /is not host/],
    [{ registries: [{ prefix: "a.example", insecure: true }] }, /insecure/],
    [{ registries: [{ prefix: "a.example", tls: "maybe" }] }, /tls/],
  ])("refuses %j and names the file", async (content, why) => {
    const path = await write("d/x.json", content);
    await expect(RegistryConfig.load([join(dir, "d")])).rejects.toThrow(why);
    await expect(RegistryConfig.load([join(dir, "d")])).rejects.toThrow(path);
  });

  it("gives a configuration or a RegistryConfigError for any value", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom("prefix", "location", "mirrors", "tls"), (value, key) => {
        for (const candidate of [
          value,
          { registries: value },
          { registries: [{ prefix: "a.example", [key]: value }] },
        ]) {
          let error: unknown;
          try {
            new RegistryConfig(candidate);
          } catch (e) {
            error = e;
          }
          expect(error === undefined || error instanceof RegistryConfigError).toBe(true);
        }
      }),
    );
  });
});
