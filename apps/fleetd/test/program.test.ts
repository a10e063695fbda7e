import { runProcess } from "@keelson/testkit";
import { expect, it } from "vitest";

const MAIN = new URL("../src/main.ts", import.meta.url).pathname;
const fleetd = (...args: string[]) => runProcess(process.execPath, [MAIN, ...args]);

it.each([
  [["--version"], 0, "fleetd version 0.1.0\n", ""],
  [["version"], 0, "fleetd version 0.1.0\n", ""],
  [["--bogus"], 2, "", "error: unknown option '--bogus'\n"],
  [["bogus"], 2, "", "error: too many arguments. Expected 0 arguments but got 1: bogus.\n"],
  [["unit-manager"], 2, "", "error: required option '--directory <dir>' not specified\n"],
  [["--agent-ttl", "1s"], 2, "", "fleetd: --agent-ttl must be at least 2s\n"],
  [
    ["--config", "/nowhere"],
    2,
    "",
    "fleetd: --config: cannot read /nowhere: ENOENT: no such file or directory, open '/nowhere'\n",
  ],
  [["--listen", "tcp://x"], 2, "", 'fleetd: cannot listen on "tcp://x": only unix and http are supported\n'],
] as const)("fleetd %j exits with %i", async (args, code, stdout, stderr) => {
  const result = await fleetd(...args);
  expect([result.code, result.stdout, result.stderr.replace(/^\{.*\}\n/gm, "")]).toEqual([code, stdout, stderr]);
});

it("help names every setting, its environment and the exit codes", async () => {
  const { code, stdout } = await fleetd("--help");
  expect(code).toBe(0);
  for (const word of ["--agent-ttl", "FLEET_AGENT_TTL", "unit-manager", "Exit codes"]) expect(stdout).toContain(word);
});
