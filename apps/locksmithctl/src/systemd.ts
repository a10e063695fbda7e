import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Why systemd did not do as it was told. */
export class SystemdError extends Error {}

/** `ask`: fails when somebody has taken an inhibitor lock. `force`: whatever they have. */
export type RebootMode = "ask" | "plain" | "force";

const ARGS: Readonly<Record<RebootMode, readonly string[]>> = {
  ask: ["reboot", "--check-inhibitors=yes"],
  plain: ["reboot"],
  force: ["reboot", "-i"],
};

/** Asks logind, through systemctl, for a reboot. @throws {SystemdError} with what systemctl said */
export async function systemdReboot(mode: RebootMode, signal?: AbortSignal): Promise<void> {
  const args = ARGS[mode];
  try {
    await run("systemctl", args, { timeout: 60_000, signal });
  } catch (cause) {
    const said = outputOf(cause, "stderr");
    throw new SystemdError(`systemctl ${args.join(" ")} failed${said === "" ? "" : `: ${said}`}`, { cause });
  }
}

/** What `systemctl is-system-running` says, such as `running`, `starting` or `degraded`. */
export async function systemState(signal?: AbortSignal): Promise<string> {
  try {
    return (await run("systemctl", ["is-system-running"], { timeout: 10_000, signal })).stdout.trim();
  } catch (error) {
    // Everything but `running` is an exit code too.
    return outputOf(error, "stdout") || "unknown";
  }
}

/** Terminals of people who are logged in, such as `/dev/pts/0`. */
export async function loginTerminals(signal?: AbortSignal): Promise<readonly string[]> {
  try {
    const { stdout } = await run("loginctl", ["list-sessions", "--output=json"], { timeout: 10_000, signal });
    const sessions: unknown = JSON.parse(stdout);
    if (!Array.isArray(sessions)) return [];
    const ttys = sessions.map((session: { tty?: unknown } | null) => session?.tty);
    return ttys.filter((tty) => typeof tty === "string" && /^[\w/]+$/.test(tty)).map((tty) => `/dev/${String(tty)}`);
  } catch {
    return []; // nobody to ask is nobody to warn
  }
}

/** What a program that failed had printed. */
function outputOf(error: unknown, stream: "stdout" | "stderr"): string {
  const text = (error as { readonly [name: string]: unknown })[stream];
  return typeof text === "string" ? text.trim() : "";
}
