import { execFile } from "node:child_process";

/** Tells systemd a state, such as READY=1, when it asked for it. Node has no datagram sockets of its own for this. */
export function notify(state: string, env: Readonly<Record<string, string | undefined>>): Promise<void> {
  if (env["NOTIFY_SOCKET"] === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    execFile("systemd-notify", [`--pid=${process.pid}`, state], { timeout: 5_000 }, () => resolve());
  });
}

/** Sockets that systemd has opened for us (sd_listen_fds(3)). */
export function passedSockets(env: Readonly<Record<string, string | undefined>>): string[] {
  if (Number(env["LISTEN_PID"]) !== process.pid) return [];
  return Array.from({ length: Number(env["LISTEN_FDS"] ?? 0) }, (_, i) => `fd:${i + 3}`);
}
