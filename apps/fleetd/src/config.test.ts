import { writeFile } from "node:fs/promises";
import { tempDir } from "@keelson/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadConfig } from "./config.ts";
import { parseConfFile, parseDuration, parseMetadata } from "./settings.ts";

const NONE = { config: "/dev/null" };

describe("where settings come from", () => {
  it("flags before environment before file before defaults", async () => {
    await using dir = await tempDir("fleetd-config");
    const config = dir.join("fleet.conf");
    await writeFile(
      config,
      '# comment\n[section]\nagent_ttl = "10s"\ntoken_limit=7\nmetadata = disk=ssd, rack=1,rack=2\nverbosity=1\n',
    );
    const env = { FLEET_TOKEN_LIMIT: "8", FLEET_VERBOSITY: "2", FLEET_CONFIG: config };
    const found = loadConfig({ verbosity: "3" }, env);
    expect([found.ttlMs, found.tokenLimit, found.verbosity]).toEqual([10_000, 8, 3]);
    expect(found.machine.metadata).toEqual({ disk: "ssd", rack: "2" });
    expect(found.etcd.keyPrefix).toBe("/_coreos.com/fleet/");
  });

  it.each([
    ["http://a:1,http://b:2", ["http://a:1", "http://b:2"]],
    ['["http://a:1","http://b:2"]', ["http://a:1", "http://b:2"]],
  ])("etcd_servers %s", (text, want) => {
    expect(loadConfig({ ...NONE, etcd_servers: text }, {}).etcd.servers).toEqual(want);
  });

  it("keeps what must be remembered beside the units directory", () => {
    expect(loadConfig(NONE, {}).memoryPath).toBe("/run/fleet/agent.json");
    expect(loadConfig({ ...NONE, units_directory: "/x/y/units" }, {}).memoryPath).toBe("/x/y/agent.json");
  });

  it("warns of what has no effect", () => {
    expect(loadConfig({ ...NONE, engine_reconcile_interval: "2" }, {}).warnings).toEqual([
      "engine_reconcile_interval has no effect: the engine acts on changes and polls nothing",
    ]);
  });
});

describe("refusals", () => {
  it.each<[string, Record<string, string>, Record<string, string>, string]>([
    ["an unknown variable", {}, { FLEET_BOGUS: "1" }, "unknown environment variable FLEET_BOGUS"],
    ["a short ttl", { agent_ttl: "1s" }, {}, "--agent-ttl must be at least 2s"],
    ["no duration", { agent_ttl: "soon" }, {}, '--agent-ttl is not a duration such as 5s: "soon"'],
    ["no number", { token_limit: "0" }, {}, '--token-limit is not a whole number from 1 to 65535: "0"'],
    ["no truth", { disable_engine: "maybe" }, {}, '--disable-engine is neither true nor false: "maybe"'],
    ["another manager", { unit_manager: "runit" }, {}, '--unit-manager is systemd or embedded, not "runit"'],
    ["metadata without =", { metadata: "disk" }, {}, '--metadata is not k=v,k=v: "disk"'],
    ["no servers", { etcd_servers: "" }, {}, "--etcd-servers names no endpoint"],
    ["half a JSON list", { etcd_servers: "[1" }, {}, "--etcd-servers is not a JSON list of texts: [1"],
    ["a certificate without key", { etcd_certfile: "/dev/null" }, {}, "--etcd-certfile and --etcd-keyfile go together"],
    ["a missing file", { etcd_cafile: "/nowhere" }, {}, "--etcd-cafile: cannot read /nowhere"],
    ["a machine id with a slash", { machine_id: "a/b" }, {}, 'machine id "a/b" is not 1 to 64 letters and digits'],
    [
      "an address with a path",
      { advertise_url: "http://a/b" },
      {},
      '--advertise-url is not http://host:port: "http://a/b"',
    ],
  ])("%s", (_title, flags, env, message) => {
    expect(() => loadConfig({ ...NONE, ...flags }, env)).toThrow(message);
  });

  it.each([
    ["bogus = 1", 'f, line 1: unknown key "bogus"'],
    ["\nagent_ttl", "f, line 2: expected key = value"],
  ])("fleet.conf with %j", (text, message) => {
    expect(() => parseConfFile(text, "f")).toThrow(message);
  });
});

it("no text makes a parser fail in another way than by a ConfigError", () => {
  const only = (fn: () => unknown) => {
    try {
      fn();
      return true;
    } catch (error) {
      return (error as { code?: string }).code === "ERR_CONFIG";
    }
  };
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(only(() => parseConfFile(text, "f")) && only(() => parseDuration(text, "x"))).toBe(true);
      expect(only(() => parseMetadata(text, "x"))).toBe(true);
    }),
  );
});
