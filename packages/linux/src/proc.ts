import { readdirSync, readFileSync } from "node:fs";

/** What /proc/<pid>/stat says. Source: proc_pid_stat(5). */
export interface ProcessStat {
  readonly pid: number;
  /** The program's name, at most 15 bytes. */
  readonly comm: string;
  /** `R`, `S`, `D`, `Z` (a zombie), `T` (stopped)… */
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** Clock ticks after boot: with the pid, it names one process for ever. */
  readonly startTicks: number;
}

/** Reads one process; undefined when it is gone. Linux only. */
export function readProcessStat(pid: number): ProcessStat | undefined {
  const text = readProc(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The name is in parentheses and may hold anything, parentheses too.
  const close = text.lastIndexOf(")");
  const fields = text.slice(close + 2).split(" ");
  const at = (i: number) => Number(fields[i]);
  return {
    pid,
    comm: text.slice(text.indexOf("(") + 1, close),
    state: fields[0] ?? "?",
    parent: at(1),
    group: at(2),
    session: at(3),
    startTicks: at(19),
  };
}

/** All processes that this process can see. Linux only; empty elsewhere. */
export function listProcesses(): ProcessStat[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcessStat(Number(name)) ?? []);
}

/** Whether a process runs code still: a zombie does not. */
export function isLive(stat: ProcessStat): boolean {
  return stat.state !== "Z" && stat.state !== "X";
}

/** One variable of a process's first environment; undefined when unset, gone, or not ours to read. */
export function readProcessVariable(pid: number, name: string): string | undefined {
  const text = readProc(`/proc/${pid}/environ`);
  const found = text?.split("\0").find((entry) => entry.startsWith(`${name}=`));
  return found?.slice(name.length + 1);
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // the process ended, or is another user's
  }
}
