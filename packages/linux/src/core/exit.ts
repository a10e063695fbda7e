import type { ExitSet, ServiceConfig } from "./service-config.ts";

/** Why a service ended. Source: systemd src/core/service.h, ServiceResult; the words are those of the Result property. */
export type ServiceResult =
  | "success"
  | "exit-code"
  | "signal"
  | "core-dump"
  | "timeout"
  | "protocol"
  | "resources"
  | "start-limit-hit";

/** How a process ended: by an exit code or by a signal, one of them. */
export type ProcessExit = { readonly code: number } | { readonly signal: number };

/** Exit status of a command that could not be executed. Source: systemd.exec(5), EXIT_EXEC. */
export const EXIT_EXEC = 203;

/** Signals that say "stopped as asked" of a daemon: HUP, INT, TERM, PIPE. */
const CLEAN_SIGNALS = [1, 2, 15, 13];
/** Signals whose default action leaves a core: QUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, XCPU, XFSZ, SYS. */
const CORE_SIGNALS = [3, 4, 5, 6, 7, 8, 11, 24, 25, 31];

/** Judges an exit. A daemon may also end by a signal that asked it to; a command may not. */
export function resultOf(exit: ProcessExit, kind: "daemon" | "command", success: ExitSet): ServiceResult {
  if ("code" in exit) return exit.code === 0 || success.codes.has(exit.code) ? "success" : "exit-code";
  if (success.signals.has(exit.signal)) return "success";
  if (kind === "daemon" && CLEAN_SIGNALS.includes(exit.signal)) return "success";
  return CORE_SIGNALS.includes(exit.signal) ? "core-dump" : "signal";
}

/** Whether Restart= brings the service back. Source: systemd.service(5), the table under Restart=. */
export function shallRestart(config: ServiceConfig, result: ServiceResult, exit: ProcessExit | undefined): boolean {
  if (exit !== undefined && contains(config.restartPreventExit, exit)) return false;
  if (exit !== undefined && contains(config.restartForceExit, exit)) return true;
  switch (config.restart) {
    case "no":
    case "on-watchdog": // no watchdog here, so never
      return false;
    case "always":
      return true;
    case "on-success":
      return result === "success";
    case "on-failure":
      return result !== "success";
    case "on-abnormal":
      return result !== "success" && result !== "exit-code";
    case "on-abort":
      return result === "signal" || result === "core-dump";
  }
}

function contains(set: ExitSet, exit: ProcessExit): boolean {
  return "code" in exit ? set.codes.has(exit.code) : set.signals.has(exit.signal);
}

/** Counts starts in a window, as systemd's start limit does. */
export class StartLimit {
  #windowStartMs = Number.NEGATIVE_INFINITY;
  #count = 0;

  /** Counts a start at `nowMs`; false when it is one too many. An interval or burst of 0 means no limit. */
  allow(nowMs: number, intervalMs: number, burst: number): boolean {
    if (intervalMs === 0 || burst === 0) return true;
    if (nowMs - this.#windowStartMs > intervalMs) {
      this.#windowStartMs = nowMs;
      this.#count = 0;
    }
    if (this.#count >= burst) return false;
    this.#count++;
    return true;
  }

  reset(): void {
    this.#windowStartMs = Number.NEGATIVE_INFINITY;
    this.#count = 0;
  }
}
