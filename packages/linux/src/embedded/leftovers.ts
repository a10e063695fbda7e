import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { uptime } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { markedProcesses, signalProcess } from "./process-tree.ts";

/** What is written down about a running invocation, so that a later process can end what a killed manager left. */
interface InvocationRecord {
  readonly invocationId: string;
  readonly groups: readonly number[];
  readonly bootMs: number;
}

/** Times that {@link killLeftovers} looks again, every 10 ms. */
const ROUNDS_MAX = 200;

const bootMs = () => Math.round(Date.now() - uptime() * 1000);

/** Writes down which processes a unit has. */
export function recordInvocation(
  directory: string,
  unit: string,
  invocationId: string,
  groups: readonly number[],
): void {
  const record: InvocationRecord = { invocationId, groups, bootMs: bootMs() };
  const path = join(directory, `${unit}.pids`);
  writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** The unit has no processes any more. */
export function forgetInvocation(directory: string, unit: string): void {
  rmSync(join(directory, `${unit}.pids`), { force: true });
}

/**
 * Kills, with SIGKILL, the processes of units whose embedded manager was itself killed, and forgets them. `directory` is
 * the manager's. Used by the next manager over it, and by a harness that cuts a machine's power.
 *
 * @returns how many processes (Linux) or process groups (elsewhere) were killed
 */
export async function killLeftovers(directory: string): Promise<number> {
  const run = join(directory, "run");
  if (!existsSync(run)) return 0;
  let killed = 0;
  const ids = new Set<string>();
  for (const file of readdirSync(run).filter((name) => name.endsWith(".pids"))) {
    const record = parseRecord(readFileSync(join(run, file), "utf8"));
    if (record !== undefined) {
      ids.add(record.invocationId);
      // Elsewhere than on Linux there is no mark to look for: trust the numbers, within one boot.
      if (process.platform !== "linux" && Math.abs(record.bootMs - bootMs()) < 5000) {
        for (const group of record.groups) signalProcess(-group, 9);
        killed += record.groups.length;
      }
    }
    rmSync(join(run, file), { force: true });
  }
  if (process.platform !== "linux" || ids.size === 0) return killed;
  // A process may fork while we look: go on until none is left. Death by SIGKILL takes a moment too.
  const seen = new Set<number>();
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const pids = markedProcesses(ids, () => true);
    if (pids.length === 0) break;
    for (const pid of pids) {
      signalProcess(pid, 9);
      seen.add(pid);
    }
    await delay(10);
  }
  return seen.size;
}

function parseRecord(text: string): InvocationRecord | undefined {
  try {
    const record = JSON.parse(text) as Partial<InvocationRecord>;
    if (typeof record.invocationId !== "string" || record.invocationId === "" || !Array.isArray(record.groups))
      return undefined;
    return {
      invocationId: record.invocationId,
      groups: record.groups.filter((g) => Number.isSafeInteger(g) && g > 1),
      bootMs: Number(record.bootMs),
    };
  } catch {
    return undefined; // torn by the crash
  }
}

/** Makes the directories of a manager. */
export function makeDirectories(directory: string): void {
  for (const name of ["units", "journal", "run", "bin"])
    mkdirSync(join(directory, name), { recursive: true, mode: 0o700 });
}
