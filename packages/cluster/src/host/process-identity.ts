import { execFile } from "node:child_process";

/** When the process started, as `ps` prints it; undefined when there is none of that pid (or only a zombie). */
export function processStartedAt(pid: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile("ps", ["-o", "stat=,lstart=", "-p", String(pid)], (error, stdout) => {
      const line = stdout.trim();
      resolve(error !== null || line === "" || line.startsWith("Z") ? undefined : line.replace(/^\S+\s+/, ""));
    });
  });
}
