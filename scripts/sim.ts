// npm run sim [-- name]: simulations under new seeds for ever, until one fails. SEED=n replays one; SIM_SEEDS=n stops
// after n seeds.
import { randomInt } from "node:crypto";
import { run } from "./lib.ts";

const SIMULATIONS: Record<string, { cwd: string; test: string }> = {
  etcd: { cwd: "packages/etcd", test: "whole clusters" },
  raft: { cwd: "packages/raft", test: "" },
  locksmith: { cwd: "packages/locksmith", test: "no two machines" },
};

const name = process.argv[2] ?? "etcd";
const simulation = SIMULATIONS[name];
if (simulation === undefined) {
  process.stderr.write(`there is no simulation ${name}: give one of ${Object.keys(SIMULATIONS).join(", ")}\n`);
  process.exitCode = 2;
} else {
  const env: Record<string, string> = {};
  if (process.env["SEED"] === undefined) {
    env["SIM_SEEDS"] = process.env["SIM_SEEDS"] ?? "forever";
    env["SIM_FIRST_SEED"] = process.env["SIM_FIRST_SEED"] ?? String(randomInt(1_000_000_000));
    process.stderr.write(`${name}: seeds from ${env["SIM_FIRST_SEED"]} on\n`);
  }
  const filter = simulation.test === "" ? [] : ["-t", simulation.test];
  const argv = [
    "vitest",
    "run",
    "--config",
    "../../vitest.config.ts",
    "--root",
    ".",
    "--dir",
    "test",
    "sim/",
    "--testTimeout",
    "2147483647",
    ...filter,
  ];
  process.exitCode = (await run(argv, { cwd: simulation.cwd, env })).exitCode;
}
