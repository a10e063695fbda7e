import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isLive, readProcessStat } from "../proc.ts";
import { Cgroup } from "./cgroup.ts";

/** What is written down about a container, so that a later process can end it when its owner was killed. */
export interface ContainerRecord {
  readonly name: string;
  /** The process that started it. */
  readonly owner: ProcessKey;
  /** Its PID 1, as the host sees it; absent until it is known. */
  readonly init?: ProcessKey;
  readonly cgroup: string;
  /** Removed with the container. */
  readonly scratch: string;
}

/** One process for ever: a pid can be used again, with its start time it cannot. */
export interface ProcessKey {
  readonly pid: number;
  readonly startTicks: number;
}

/** The key of a live process. */
export function keyOf(pid: number): ProcessKey | undefined {
  const stat = readProcessStat(pid);
  return stat === undefined ? undefined : { pid, startTicks: stat.startTicks };
}

/** Whether that very process runs still. */
export function isRunning(key: ProcessKey): boolean {
  const stat = readProcessStat(key.pid);
  return stat !== undefined && stat.startTicks === key.startTicks && isLive(stat);
}

export function writeRecord(directory: string, record: ContainerRecord): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, `${record.name}.json`);
  writeFileSync(`${path}.new`, JSON.stringify(record));
  renameSync(`${path}.new`, path);
}

export function removeRecord(directory: string, name: string): void {
  rmSync(join(directory, `${name}.json`), { force: true });
}

/**
 * Ends the containers whose owner is gone: kills them, removes their cgroups and scratch directories. Those of living
 * owners are left alone.
 *
 * @returns the names of the containers that were ended
 */
export async function sweepContainers(stateDirectory: string): Promise<string[]> {
  const ended: string[] = [];
  for (const file of listRecords(stateDirectory)) {
    const record = readRecord(join(stateDirectory, file));
    if (record === undefined) {
      rmSync(join(stateDirectory, file), { force: true });
      continue;
    }
    if (isRunning(record.owner)) continue;
    await endRecorded(record);
    removeRecord(stateDirectory, record.name);
    ended.push(record.name);
  }
  return ended;
}

/** Kills PID 1, and so everything in its namespaces, and removes what is left. */
export async function endRecorded(record: ContainerRecord): Promise<void> {
  const { init } = record;
  if (init !== undefined && isRunning(init)) {
    process.kill(init.pid, "SIGKILL");
    new Cgroup(record.cgroup).thaw();
    // Not killed with the rest of the cgroup: its launcher is in there and has to reap it first.
    for (let i = 0; i < 500 && keyOf(init.pid)?.startTicks === init.startTicks; i++) await delay(10);
  }
  await new Cgroup(record.cgroup).remove();
  rmSync(record.scratch, { recursive: true, force: true });
}

function listRecords(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => name.endsWith(".json"));
  } catch {
    return []; // no container was ever started with it
  }
}

function readRecord(path: string): ContainerRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(path, "utf8")) as Partial<ContainerRecord>;
    if (typeof record.name !== "string" || typeof record.cgroup !== "string" || typeof record.scratch !== "string")
      return undefined;
    if (typeof record.owner?.pid !== "number" || !record.cgroup.includes("keelson-")) return undefined;
    return record as ContainerRecord;
  } catch {
    return undefined;
  }
}
