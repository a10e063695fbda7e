import { readFileSync } from "node:fs";
import { isLive, readProcessStat } from "@keelson/linux";

/** Names one process for ever, within a boot. */
export interface ProcessKey {
  readonly pid: number;
  readonly startTicks: number;
}

/** This process. It stays the same when it becomes another program. */
export function ownProcess(): ProcessKey {
  return { pid: process.pid, startTicks: readProcessStat(process.pid)?.startTicks ?? 0 };
}

/** Whether a process of this boot still runs. */
export function isAlive(key: ProcessKey): boolean {
  const stat = readProcessStat(key.pid);
  return stat !== undefined && isLive(stat) && stat.startTicks === key.startTicks;
}

/** What tells this boot from all others. */
export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** The service this process is the main process of, if it is one. Source: systemd.exec(5), SYSTEMD_EXEC_PID. */
export function ownService(
  environment: Readonly<Record<string, string | undefined>>,
): { name: string; invocationId: string } | undefined {
  const invocationId = environment["INVOCATION_ID"];
  if (environment["SYSTEMD_EXEC_PID"] !== String(process.pid) || invocationId === undefined) return undefined;
  const line = readFileSync("/proc/self/cgroup", "utf8")
    .split("\n")
    .find((each) => each.startsWith("0::"));
  const name = line?.split("/").findLast((part) => part.endsWith(".service"));
  return name === undefined ? undefined : { name, invocationId };
}
