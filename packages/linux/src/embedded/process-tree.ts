import { isLive, listProcesses, readProcessVariable } from "../proc.ts";

/** Marks every process of an invocation, also those that left its session. systemd sets the same variable. */
export const INVOCATION_VARIABLE = "INVOCATION_ID";

/** The process groups of one unit. Each command leads a session, and so a group, of its own. */
export class ProcessTree {
  readonly #groups = new Set<number>();
  #invocationId = "";

  /** A new invocation begins; groups that still live stay known. */
  begin(invocationId: string): void {
    this.#prune();
    this.#invocationId = invocationId;
  }

  add(leader: number): void {
    this.#groups.add(leader);
  }

  get groups(): readonly number[] {
    return [...this.#groups];
  }

  /** Sends a signal to every process of the unit. */
  kill(signal: number): void {
    // Looked for first: a process that is about to lose its parent is still found by its own mark afterwards.
    const escaped = this.#escaped();
    for (const group of this.#groups) signalProcess(-group, signal);
    for (const pid of escaped) signalProcess(pid, signal);
  }

  /** Whether no process is left. */
  isEmpty(): boolean {
    this.#prune();
    return this.#groups.size === 0 && this.#escaped().length === 0;
  }

  #prune(): void {
    if (process.platform === "linux") {
      // kill(-group, 0) also finds zombies that nobody reaps; /proc tells them apart.
      const live = new Set<number>();
      for (const stat of listProcesses()) if (isLive(stat)) live.add(stat.group);
      for (const group of this.#groups) if (!live.has(group)) this.#groups.delete(group);
      return;
    }
    for (const group of this.#groups) if (!isGroupAlive(group)) this.#groups.delete(group);
  }

  /** Processes with our mark outside of our groups. Linux only: elsewhere a process that calls setsid gets away. */
  #escaped(): number[] {
    if (process.platform !== "linux" || this.#invocationId === "") return [];
    return markedProcesses(new Set([this.#invocationId]), (group) => !this.#groups.has(group));
  }
}

/** Live processes whose environment names one of the invocations. */
export function markedProcesses(invocationIds: ReadonlySet<string>, inGroup: (group: number) => boolean): number[] {
  return listProcesses()
    .filter((stat) => isLive(stat) && stat.pid !== process.pid && inGroup(stat.group))
    .filter((stat) => invocationIds.has(readProcessVariable(stat.pid, INVOCATION_VARIABLE) ?? ""))
    .map((stat) => stat.pid);
}

/** Sends a signal; a process that is gone or not ours is no error. */
export function signalProcess(pid: number, signal: number): void {
  try {
    process.kill(pid, signal);
  } catch {
    // ESRCH: it ended by itself. EPERM: it changed its user; the timeout will tell.
  }
}

function isGroupAlive(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
