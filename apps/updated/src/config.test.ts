import { mkdir, writeFile } from "node:fs/promises";
import { tempDir } from "@keelson/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadConfig } from "./config.ts";
import { parseEnvironment, SETTINGS, type SettingName, variableOf } from "./settings.ts";

const MACHINE = { machineId: "0123456789abcdef0123456789abcdef", hostname: "node-1" };
const load = (env: Record<string, string>, directories: string[] = []) => loadConfig(env, MACHINE, directories);
const URL_SET = { UPDATED_CINCINNATI_BASE_URL: "http://updates:8080/" };

describe("where settings come from", () => {
  it("the environment before /run before /etc before /usr/lib before defaults", async () => {
    await using dir = await tempDir("updated-config");
    const [usr, etc, run] = ["usr", "etc", "run"].map((name) => dir.join(name)) as [string, string, string];
    for (const path of [usr, etc, run]) await mkdir(path);
    await writeFile(
      `${usr}/10-a.toml`,
      '[updates]\nstrategy = "etcd-lock"\n[identity]\nstream = "usr"\ngroup = "usr"\n',
    );
    await writeFile(`${etc}/20-b.toml`, '[identity]\nstream = "etc"\nrollout_wariness = 0.5\n[lock]\nttl_secs = 60\n');
    await writeFile(`${run}/20-b.toml`, "[identity]\nrollout_wariness = 0.25\n");
    await writeFile(`${run}/README`, "not read");
    const found = load({ UPDATED_LOCK_TTL_SECS: "120", ...URL_SET }, [usr, etc, run, dir.join("none")]);
    expect(found.strategy).toBe("etcd-lock");
    expect(found.policy).toMatchObject({ needsLock: true, isEnabled: true, machine: "node-1", steadyMs: 300_000 });
    // The file of /run hides the one of the same name in /etc.
    expect([found.identity.stream, found.identity.group, found.identity.rolloutWariness]).toEqual(["usr", "usr", 0.25]);
    expect(found.lock.ttlMs).toBe(120_000);
    expect(found.repositoryUrl).toBe("http://updates:8080/repo");
  });

  it("without a server nothing is looked for, and that is said", () => {
    const { policy, warnings } = load({});
    expect(policy.isEnabled).toBe(false);
    expect(warnings).toEqual(["no update server is set (cincinnati.base_url), so nothing is looked for"]);
    expect(load({ UPDATED_UPDATES_ENABLED: "false" }).warnings).toEqual([]);
  });

  it("the server is told another id than the machine's, always the same", () => {
    const { nodeUuid } = load({}).identity;
    expect(nodeUuid).toMatch(/^[0-9a-f]{32}$/);
    expect(nodeUuid).not.toBe(MACHINE.machineId);
    expect(load(URL_SET).identity.nodeUuid).toBe(nodeUuid);
  });

  it("Zincati's word for rebooting at once is understood", () => {
    expect(load({ UPDATED_UPDATES_STRATEGY: "immediate" }).strategy).toBe("reboot");
  });

  it("lists in variables are comma lists", () => {
    expect(load({ UPDATED_HEALTH_BUILTIN: "systemd, fleetd" }).health.builtin).toEqual(["systemd", "fleetd"]);
    expect(load({ UPDATED_HEALTH_BUILTIN: "" }).health.builtin).toEqual([]);
  });
});

describe("refusals", () => {
  it.each<[Record<string, string>, string]>([
    [{ UPDATED_BOGUS: "1" }, "unknown environment variable UPDATED_BOGUS"],
    [
      { UPDATED_UPDATES_STRATEGY: "fleet_lock" },
      'updates.strategy is "fleet_lock", none of reboot, etcd-lock, best-effort, off',
    ],
    [{ UPDATED_UPDATES_ENABLED: "maybe" }, 'updates.enabled is "maybe", but true or false is needed'],
    [{ UPDATED_IDENTITY_ROLLOUT_WARINESS: "2" }, "identity.rollout_wariness is 2, but a number from 0 to 1 is needed"],
    [{ UPDATED_AGENT_TIMING_STEADY_INTERVAL_SECS: "0" }, "is 0, but a number of seconds of at least 1 is needed"],
    [{ UPDATED_CINCINNATI_BASE_URL: "ftp://x" }, 'cincinnati.base_url is not an http or https address: "ftp://x"'],
    [{ UPDATED_UPDATES_WINDOW_START: "Thu 23:00" }, "updates.window.start and updates.window.length go together"],
    [{ UPDATED_HEALTH_BUILTIN: "dns" }, 'health.builtin is "dns", none of systemd, etcd, fleetd'],
    [{ UPDATED_LOCK_ETCD_KEYFILE: "/x" }, "lock.etcd_certfile and lock.etcd_keyfile go together"],
    [{ UPDATED_LOCK_ETCD_CAFILE: "/nowhere" }, "lock.etcd_cafile: cannot read /nowhere"],
  ])("%j", (env, message) => expect(() => load(env)).toThrow(message));

  it.each([
    ["[updates]\nstrategy = true\n", "updates.strategy is true, but a text is needed"],
    ["[updates]\nstratgy = 'x'\n", "unknown setting updates.stratgy"],
    ["[updates\n", "cannot use"],
  ])("a file with %j", async (text, message) => {
    await using dir = await tempDir("updated-config");
    await writeFile(dir.join("10-x.toml"), text);
    expect(() => load({}, [dir.path])).toThrow(message);
  });

  it("a machine without an id", () => {
    expect(() => loadConfig({}, { machineId: "", hostname: "x" }, [])).toThrow("/etc/machine-id is empty");
  });
});

it("no two settings have one variable, and any text is a value or a clear refusal", () => {
  const names = Object.keys(SETTINGS) as SettingName[];
  expect(new Set(names.map(variableOf)).size).toBe(names.length);
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.string(), (name, text) => {
      try {
        parseEnvironment({ [variableOf(name)]: text });
        return true;
      } catch (error) {
        return (error as { code?: string }).code === "ERR_UPDATE_CONFIG";
      }
    }),
  );
});
