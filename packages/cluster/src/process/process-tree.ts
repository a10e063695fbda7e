import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { listProcesses as listAll, readProcessVariable } from "@keelson/linux";

const exec = promisify(execFile);

/**
 * Processes whose home is `directory` or below it: those of a machine, wherever they went. Linux only; empty elsewhere,
 * where a process that has left its machine's tree gets away.
 */
export function processesAtHome(directory: string): number[] {
  return listAll()
    .map(({ pid }) => pid)
    .filter((pid) => `${readProcessVariable(pid, "HOME") ?? ""}/`.startsWith(`${directory}/`));
}

interface Row {
  readonly pid: number;
  readonly parent: number;
}

/** One row a process: from /proc on Linux, where small systems lack `ps`, and from `ps` elsewhere. */
async function listProcesses(): Promise<readonly Row[]> {
  if (process.platform === "linux") return listAll();
  const { stdout } = await exec("ps", ["-A", "-o", "pid=,ppid="], { maxBuffer: 16 << 20 });
  return stdout
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([pid, parent]) => ({ pid: pid ?? 0, parent: parent ?? 0 }));
}

/** The processes below `roots`, roots first, each parent before its children. Pure. */
export function descendants(rows: readonly Row[], roots: readonly number[]): number[] {
  const children = new Map<number, number[]>();
  for (const { pid, parent } of rows) {
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [pid]);
    else siblings.push(pid);
  }
  const alive = new Set(rows.map((row) => row.pid));
  const out: number[] = [];
  const queue = roots.filter((pid) => alive.has(pid));
  const seen = new Set(queue);
  for (let pid = queue.shift(); pid !== undefined; pid = queue.shift()) {
    out.push(pid);
    for (const child of children.get(pid) ?? []) {
      if (seen.has(child)) continue;
      seen.add(child);
      queue.push(child);
    }
  }
  return out;
}

/** Sends a signal; a process that is gone already is fine. */
export function signalPid(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/** Sends `signal` to the roots and everything below them; returns who got it. */
export async function signalTree(roots: readonly number[], signal: NodeJS.Signals): Promise<number[]> {
  const pids = descendants(await listProcesses(), roots);
  return pids.filter((pid) => signalPid(pid, signal));
}

/**
 * Ends the roots and everything below them at once, as a power cut would: stops them first, parents before children,
 * so that none can start another in between, looks again until no new one appears, then kills them all.
 */
export async function killTree(roots: readonly number[]): Promise<void> {
  const stopped = new Set<number>();
  for (;;) {
    const found = (await signalTree([...roots, ...stopped], "SIGSTOP")).filter((pid) => !stopped.has(pid));
    if (found.length === 0) break;
    for (const pid of found) stopped.add(pid);
  }
  for (const pid of stopped) signalPid(pid, "SIGKILL");
}
