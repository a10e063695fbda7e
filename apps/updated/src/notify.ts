import { execFile } from "node:child_process";

/** Tells systemd a state, such as READY=1, when it asked for it. Node has no datagram sockets of its own for this. */
export function notify(state: string, env: Readonly<Record<string, string | undefined>>): Promise<void> {
  if (env["NOTIFY_SOCKET"] === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    execFile("systemd-notify", [`--pid=${process.pid}`, state], { timeout: 5_000 }, () => resolve());
  });
}
