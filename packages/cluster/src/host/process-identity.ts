import { execFile } from "node:child_process";
import { isLive, readProcessStat } from "@keelson/linux";

/**
 * When a process started, in the host's own terms: with the pid it names one process. Undefined when there is none of that
 * pid, or only a zombie. Small systems lack `ps`, so Linux is asked by /proc.
 */
export async function processStartedAt(pid: number): Promise<string | undefined> {
  if (process.platform !== "linux") return startedByPs(pid);
  const stat = readProcessStat(pid);
  return stat !== undefined && isLive(stat) ? String(stat.startTicks) : undefined;
}

function startedByPs(pid: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile("ps", ["-o", "stat=,lstart=", "-p", String(pid)], (error, stdout) => {
      const line = stdout.trim();
      resolve(error !== null || line === "" || line.startsWith("Z") ? undefined : line.replace(/^\S+\s+/, ""));
    });
  });
}
