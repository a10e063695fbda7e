import { execFile } from "node:child_process";

/**
 * Tells systemd (Type=notify) that the program is ready. Node has no datagram sockets of the unix family, so the program
 * `systemd-notify` does it. Returns why it could not be told, or undefined.
 */
export function notifyReady(env: Readonly<Record<string, string | undefined>>): Promise<string | undefined> {
  if (env["NOTIFY_SOCKET"] === undefined) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    execFile("systemd-notify", [`--pid=${process.pid}`, "--ready", "--no-block"], { timeout: 5_000 }, (error) => {
      resolve(error === null ? undefined : `systemd-notify failed: ${error.message}`);
    });
  });
}
