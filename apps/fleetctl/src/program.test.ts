import { setTimeout as sleep } from "node:timers/promises";
import { FakeUnitManager, Fleetd, MemoryAgentMemory, MemoryEtcd, MemoryFleetStore } from "@keelson/fleet/testing";
import { SystemClock } from "@keelson/log";
import { eventually } from "@keelson/testkit";
import { silentLogger } from "@keelson/types";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { runProgram } from "./program.ts";

const clock = new SystemClock();
const etcd = new MemoryEtcd(clock);
const IDS = ["113f16a7aaaaaaaaaaaaaaaaaaaaaaaa", "2222222222222222aaaaaaaaaaaaaaaa"];
const HELLO = "[Unit]\nDescription=Hello\n\n[Service]\nExecStart=/bin/hello\n";

let fleets: Fleetd[];
let managers: FakeUnitManager[];
let files: Record<string, string>;

beforeAll(async () => {
  managers = IDS.map(() => new FakeUnitManager(clock));
  fleets = await Promise.all(
    IDS.map((id, i) =>
      Fleetd.start({
        store: new MemoryFleetStore({ etcd, clock }),
        manager: managers[i] ?? new FakeUnitManager(clock),
        memory: new MemoryAgentMemory(id),
        clock,
        logger: silentLogger,
        machine: { id, ...(i === 0 ? { publicIp: "172.17.8.103", metadata: { disk: "ssd", az: "1" } } : {}) },
        listen: ["http://127.0.0.1:0"],
      }),
    ),
  );
  await eventually(() => fleets.every((fleet) => fleet.registry.view.machines().length === 2));
});

afterAll(async () => {
  for (const fleet of fleets) await fleet.stop({ drain: true });
});

beforeEach(async () => {
  files = {};
  const { stdout } = await fleetctl("list-unit-files --no-legend --fields unit");
  const units = stdout.split("\n").filter(Boolean);
  if (units.length > 0) await fleetctl(`destroy ${units.join(" ")}`);
});

async function fleetctl(line: string, env: Record<string, string> = {}) {
  const [out, err]: [string[], string[]] = [[], []];
  const argv = line === "" ? [] : line.split(" ");
  const exitCode = await runProgram(
    argv,
    { FLEETCTL_ENDPOINT: fleets[0]?.urls[0] ?? "", ...env },
    {
      out: (text) => void out.push(text),
      err: (text) => void err.push(`${text}\n`),
      isWatched: false,
      readFile: (path) => Promise.resolve(files[path]),
      sleep: (ms) => sleep(ms / 25),
      nowMs: () => 25 * performance.now(),
      signal: new AbortController().signal,
    },
  );
  return { exitCode, stdout: out.join(""), stderr: err.join("") };
}

const ok = (stdout: string, stderr = "") => ({ exitCode: 0, stdout, stderr });
const fails = (stderr: string, exitCode = 1) => ({ exitCode, stdout: "", stderr });

describe("A1.3 columns", () => {
  it("list-machines", async () => {
    expect(await fleetctl("list-machines")).toEqual(
      ok("MACHINE\t\tIP\t\tMETADATA\n113f16a7...\t172.17.8.103\taz=1,disk=ssd\n22222222...\t-\t\t-\n"),
    );
    expect(await fleetctl("list-machines -no-legend -l -fields machine")).toEqual(ok(`${IDS.join("\n")}\n`));
  });

  it("list-units and list-unit-files", async () => {
    files["hello.service"] = `${HELLO}\n[X-Fleet]\nMachineID=113f16a7\n`;
    files["g.service"] = `${HELLO}\n[X-Fleet]\nGlobal=true\n`;
    await fleetctl("start hello.service");
    await fleetctl("submit g.service");
    expect(await fleetctl("list-units")).toEqual(
      ok("UNIT\t\tMACHINE\t\t\t\tACTIVE\tSUB\nhello.service\t113f16a7.../172.17.8.103\tactive\trunning\n"),
    );
    const { stdout } = await fleetctl("list-unit-files");
    expect(stdout).toMatch(
      /^UNIT\t\tHASH\tDSTATE\t\tSTATE\t\tTARGET\ng\.service\t[0-9a-f]{7}\tinactive\t-\t\tglobal\nhello\.service\t[0-9a-f]{7}\tlaunched\tlaunched\t113f16a7\.\.\.\/172\.17\.8\.103\n$/,
    );
    expect((await fleetctl("list-unit-files --fields desc,global,tmachine --no-legend")).stdout).toBe(
      "Hello\ttrue\tglobal\nHello\tfalse\t113f16a7.../172.17.8.103\n",
    );
    expect((await fleetctl("list-units --fields hash --full --no-legend")).stdout).toMatch(/^[0-9a-f]{40}\n$/);
    const json = JSON.parse((await fleetctl("list-units -o json")).stdout) as { name: string }[];
    expect(json.map((state) => state.name)).toEqual(["hello.service"]);
  });

  it.each([
    ["list-units --fields bogus", 'Invalid key in output format: "bogus"\n'],
    ["list-units --fields=", "Must define output format\n"],
    ["list-units -o yaml", 'unknown output "yaml": text or json\n'],
  ])("%s", async (line, text) => {
    expect(await fleetctl(line)).toEqual(fails(text));
  });
});

describe("A1.2 and A1.4 commands", () => {
  it("submit, load, start, stop, unload, destroy and their texts", async () => {
    files["w.service"] = `${HELLO}\n[X-Fleet]\nMachineID=113f16a7\n`;
    const on = "w.service loaded on 113f16a7.../172.17.8.103\n";
    expect(await fleetctl("submit w.service")).toEqual(ok("Unit w.service inactive\n"));
    expect(await fleetctl("submit w")).toEqual(ok(""));
    expect(await fleetctl("load w")).toEqual(ok(`Unit ${on}`));
    expect(await fleetctl("start w")).toEqual(ok(`Unit ${on.replace("loaded", "launched")}`));
    expect(managers[0]?.running()).toEqual(["w.service"]);
    expect(await fleetctl("start w")).toEqual(ok(""));
    expect(await fleetctl("restart w")).toMatchObject({ exitCode: 0 });
    expect(await fleetctl("stop w")).toEqual(ok(`Unit ${on}`, "Successfully stopped units [w.service].\n"));
    expect(managers[0]?.running()).toEqual([]);
    expect(await fleetctl("unload w")).toEqual(
      ok("Unit w.service inactive\n", "Successfully unloaded units [w.service].\n"),
    );
    expect(await fleetctl("stop w")).toEqual(fails("Unable to stop unit w.service in state inactive\n"));
    expect(await fleetctl("restart w")).toEqual(fails("Unable to restart unit w.service in state inactive\n"));
    expect(await fleetctl("destroy w")).toEqual(ok("Destroyed w.service\n"));
    expect(await fleetctl("destroy w")).toEqual(ok("", "Units not found in registry\n"));
  });

  it("global units never block", async () => {
    files["g.service"] = `${HELLO}\n[X-Fleet]\nGlobal=true\n`;
    expect(await fleetctl("start g.service")).toEqual(
      ok("Unit g.service inactive\nTriggered global unit g.service start\n"),
    );
    await eventually(() => managers.every((manager) => manager.running().includes("g.service")));
    expect(await fleetctl("stop g.service")).toMatchObject(
      ok("Triggered global unit g.service stop\n", expect.any(String)),
    );
  });

  it("--no-block and --block-attempts", async () => {
    files["gpu.service"] = `${HELLO}\n[X-Fleet]\nMachineMetadata=gpu=yes\n`;
    expect(await fleetctl("start --no-block gpu.service")).toEqual(
      ok("Unit gpu.service inactive\nTriggered unit gpu.service start\n"),
    );
    await fleetctl("unload gpu.service");
    const { exitCode, stderr } = await fleetctl("start -block-attempts 2 gpu.service");
    expect(exitCode).toBe(1);
    expect(stderr).toContain("timed out waiting for unit gpu.service to report state launched");
    expect(stderr).toContain("no agents able to run job: ");
    const why = await fleetctl("why gpu.service");
    expect(why.exitCode).toBe(4);
    expect(why.stdout).toBe(
      "gpu.service waits: no agents able to run job\n" +
        "  113f16a7...  local Machine metadata insufficient\n  22222222...  local Machine metadata insufficient\n",
    );
  });

  it("a unit that fails is told at once, one that ends is fine", async () => {
    files["fail.service"] = "[Service]\nExecStart=fail\n";
    expect(await fleetctl("start fail.service")).toMatchObject({
      exitCode: 1,
      stderr: "Error waiting for units: unit fail.service failed (see: fleetctl journal fail.service)\n",
    });
  });

  it("templates, from disk and from the registry", async () => {
    files["dir/web@.service"] = HELLO;
    expect((await fleetctl("start dir/web@1.service")).exitCode).toBe(0);
    expect(await fleetctl("submit dir/web@.service")).toEqual(ok("Unit web@.service inactive\n"));
    files = {};
    expect((await fleetctl("start web@2.service")).exitCode).toBe(0);
    expect(await fleetctl("start web@.service")).toMatchObject(
      fails(expect.stringContaining('cannot activate template "web@.service"')),
    );
    expect(await fleetctl("start none@1.service")).toEqual(
      fails("Error creating units: unable to find template Unit(none@.service) in Registry or on filesystem\n"),
    );
    expect(await fleetctl("start none.service")).toEqual(
      fails("Error creating units: unable to find Unit(none.service) in Registry or on filesystem\n"),
    );
  });

  it("--replace", async () => {
    files["r.service"] = HELLO;
    await fleetctl("start r.service");
    expect(await fleetctl("start --replace r.service")).toEqual(
      ok("Found same Unit(r.service) in Registry, nothing to do\n"),
    );
    files["r.service"] = HELLO.replace("Hello", "New");
    expect(await fleetctl("start r.service")).toEqual(
      ok(
        "",
        "WARNING: Unit r.service in registry differs from local unit file r.service. Add --replace to override.\n",
      ),
    );
    expect((await fleetctl("submit --replace r.service")).stderr).toBe(
      "Warning: can not replace Unit(r.service) in state 'launched', use the appropriate command\n",
    );
    expect((await fleetctl("start --replace r.service")).exitCode).toBe(0);
    expect(await fleetctl("cat r.service")).toEqual(ok("[Unit]\nDescription=New\n\n[Service]\nExecStart=/bin/hello\n"));
    await eventually(
      async () => (await fleetctl("list-unit-files --no-legend --fields state")).stdout === "launched\n",
    );
  });

  it("bad files and settings without effect", async () => {
    files["bad.service"] = "[Service\nExecStart=x\n";
    expect(await fleetctl("submit bad.service")).toMatchObject(
      fails(expect.stringContaining("Error creating units: bad.service: line 1")),
    );
    files["typo.service"] = `${HELLO}\n[X-Fleet]\nMachineMetaData=a=b\n`;
    expect((await fleetctl("submit --strict typo.service")).exitCode).toBe(1);
    expect((await fleetctl("submit typo.service")).stderr).toContain(
      'WARNING: Unit typo.service: unrecognized requirement in [X-Fleet] section: "MachineMetaData"; did you mean MachineMetadata?',
    );
  });

  it("status and journal, with systemctl's exit code", async () => {
    files["s.service"] = `${HELLO}\n[X-Fleet]\nMachineID=2222222222222222aaaaaaaaaaaaaaaa\n`;
    await fleetctl("start s.service");
    const { exitCode, stdout } = await fleetctl("status s.service");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(
      /^● s\.service - Hello\n {3}Loaded: loaded\n {3}Active: active \(running\)\n Main PID: \d+\n {2}Machine: 22222222\.\.\.\n\nline 3 of s\.service\n/,
    );
    expect((await fleetctl("journal --lines=2 s.service")).stdout).toBe("line 11 of s.service\nline 12 of s.service\n");
    await fleetctl("stop s.service");
    expect((await fleetctl("status s.service")).exitCode).toBe(3);
    await fleetctl("unload s.service");
    expect(await fleetctl("status s.service")).toEqual(fails("Unit s.service does not appear to be loaded.\n"));
    expect(await fleetctl("journal s.service")).toEqual(fails("Unit s.service does not appear to be running.\n"));
    expect(await fleetctl("status none.service")).toEqual(fails("Unit none.service does not exist.\n"));
    expect(await fleetctl("cat none")).toEqual(fails("Unit none.service not found\n"));
  });
});

describe("the program", () => {
  it.each([
    ["version", ok("fleetctl version 0.1.0\n")],
    ["--version", ok("fleetctl version 0.1.0\n")],
    ["start", ok("", "No units given\n")],
    ["ssh m1", fails("fleetctl has no command ssh: use ssh itself; fleetctl journal, status and cat need no SSH\n")],
    ["list-units --tunnel host", fails("SSH tunnels are not supported: use --endpoint, or ssh -L\n")],
    [
      "list-units --driver etcd",
      fails("only the driver API is supported: fleetctl talks to fleetd, and fleetd to etcd\n"),
    ],
    ["list-units --endpoint nonsense", fails("Error: URL scheme undefined\n")],
    ["list-units --endpoint unix://var/run/x", fails('Error: unable to connect to host "var" with scheme "unix"\n')],
    ["journal --lines x a", fails("--lines is not a whole number from 0 to 10000: x\n")],
    ["journal --output json a", fails('unknown output "json": short or cat\n')],
    ["completion tcsh", fails('no completion for "tcsh": bash, zsh or fish\n')],
  ])("fleetctl %s", async (line, want) => {
    expect(await fleetctl(line)).toEqual(want);
  });

  it("help, in every form, says the same; nothing at all is help", async () => {
    const { exitCode, stdout } = await fleetctl("--help");
    expect(exitCode).toBe(0);
    expect(stdout).toContain("list-machines");
    expect(await fleetctl("help")).toEqual(ok(stdout));
    expect((await fleetctl("")).exitCode).toBe(0);
    expect((await fleetctl("help start")).stdout).toContain("fleetctl start web@{1..3}.service");
  });

  it.each(["bogus", "list-units --bogus", "start --block-attempts"])("fleetctl %s is an error", async (line) => {
    const { exitCode, stderr } = await fleetctl(line);
    expect([exitCode, stderr.startsWith("error: ")]).toEqual([1, true]);
  });

  it("an unreachable fleetd is named with the reason", async () => {
    const { exitCode, stderr } = await fleetctl("list-machines", { FLEETCTL_ENDPOINT: "unix:///nowhere/fleet.sock" });
    expect(exitCode).toBe(1);
    expect(stderr).toContain("cannot reach fleetd at unix:///nowhere/fleet.sock: connect ENOENT");
    expect(stderr).toContain("  etcd is unhealthy and/or lost quorum\n");
  });

  it.each(["bash", "zsh", "fish"])("completion for %s", async (shell) => {
    expect((await fleetctl(`completion ${shell}`)).stdout).toContain("list-unit-files");
  });
});
