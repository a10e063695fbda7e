import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { expect, it } from "vitest";
import { descendants, killTree, signalPid } from "./process-tree.ts";

it("lists parents before children, and only what is below the roots", () => {
  const rows = [
    { pid: 1, parent: 0 },
    { pid: 10, parent: 1 },
    { pid: 11, parent: 10 },
    { pid: 12, parent: 11 },
    { pid: 20, parent: 1 },
  ];
  expect(descendants(rows, [10, 999])).toEqual([10, 11, 12]);
});

it("kills a whole tree, also what left its session", async () => {
  const root = spawn("sh", ["-c", "setsid sleep 1000 & echo $!; sleep 1000"], { stdio: ["ignore", "pipe", "ignore"] });
  const [line] = (await once(root.stdout, "data")) as [Buffer];
  const grandchild = Number(line.toString().trim());
  expect(signalPid(grandchild, 0 as unknown as NodeJS.Signals)).toBe(true);
  const gone = once(root, "exit");
  await killTree([root.pid ?? -1]);
  await gone;
  await expect.poll(() => isRunning(grandchild)).toBe(false);
});

/** A zombie nobody reaps still has a pid, so look at what is there. */
function isRunning(pid: number): boolean {
  return (
    signalPid(pid, 0 as unknown as NodeJS.Signals) &&
    descendants([{ pid, parent: 0 }], [pid]).length > 0 &&
    !isZombie(pid)
  );
}

function isZombie(pid: number): boolean {
  const { stdout } = spawnSyncPs(pid);
  return stdout.trim().startsWith("Z") || stdout.trim() === "";
}

function spawnSyncPs(pid: number) {
  return spawnSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" });
}
