import { LocksmithError } from "./errors.ts";
import type { QuorumVerdict } from "./quorum.ts";
import type { WindowStatus } from "./window.ts";

/**
 * `reboot`: without a lock. `etcd-lock`: with the lock only. `best-effort`: with the lock, or without when etcd has been
 * out of reach for a while. `off`: never.
 */
export type Strategy = "reboot" | "etcd-lock" | "best-effort" | "off";

const STRATEGIES: readonly Strategy[] = ["reboot", "etcd-lock", "best-effort", "off"];

/** Reads `REBOOT_STRATEGY`; nothing means `reboot`, as upstream. @throws {LocksmithError} ERR_STRATEGY */
export function parseStrategy(text: string): Strategy {
  const found = STRATEGIES.find((strategy) => strategy === (text === "" ? "reboot" : text));
  if (found !== undefined) return found;
  throw new LocksmithError("ERR_STRATEGY", `unknown strategy: ${text} (one of ${STRATEGIES.join(", ")})`, { text });
}

/** All that the next step depends on. */
export interface RebootView {
  readonly strategy: Strategy;
  /** Undefined: at any time. */
  readonly window: WindowStatus | undefined;
  /** This machine's delay after its window has opened. */
  readonly jitterMs: number;
  readonly nowMs: number;
  /** The lock is held, for certain. */
  readonly isHolding: boolean;
  /** How long etcd has not answered; 0 when it does. */
  readonly unreachableMs: number;
  /** After so long `best-effort` goes without the lock. */
  readonly patienceMs: number;
  /** Asked only when a reboot is next; undefined as long as nobody has. */
  readonly quorum: QuorumVerdict | undefined;
}

/** What a coordinator does next. */
export type RebootStep =
  | { readonly do: "refuse"; readonly reason: string }
  /** Give the lock back, if held, and wait. */
  | { readonly do: "wait"; readonly reason: string; readonly untilMs: number | undefined; readonly giveBack: boolean }
  /** Queue for the lock until `beforeMs`. */
  | { readonly do: "lock"; readonly beforeMs: number | undefined }
  | { readonly do: "ask-quorum" }
  | { readonly do: "go"; readonly withLock: boolean };

/**
 * The next step towards a reboot. Called again after each one, with what is true then: that is why a window that closed
 * while the machine waited for the lock is seen, and the lock given back (upstream looked once, before).
 */
export function nextStep(view: RebootView): RebootStep {
  if (view.strategy === "off") return { do: "refuse", reason: "the reboot strategy is off" };
  const closed = whyClosed(view);
  if (closed !== undefined) return { ...closed, giveBack: view.isHolding };
  if (needsLock(view) && !view.isHolding) return { do: "lock", beforeMs: view.window?.closesAtMs };
  if (view.quorum === undefined) return { do: "ask-quorum" };
  if (!view.quorum.ok) {
    return { do: "wait", reason: view.quorum.reason, untilMs: undefined, giveBack: view.isHolding };
  }
  return { do: "go", withLock: view.isHolding };
}

function needsLock({ strategy, unreachableMs, patienceMs }: RebootView): boolean {
  if (strategy === "etcd-lock") return true;
  return strategy === "best-effort" && unreachableMs < patienceMs;
}

function whyClosed(view: RebootView): { do: "wait"; reason: string; untilMs: number } | undefined {
  if (view.window === undefined) return undefined;
  const { isOpen, opensAtMs, closesAtMs } = view.window;
  // A delay as long as the window would keep this machine from ever rebooting.
  const untilMs = opensAtMs + Math.min(view.jitterMs, (closesAtMs - opensAtMs) / 2);
  if (isOpen && view.nowMs >= untilMs) return undefined;
  return { do: "wait", reason: isOpen ? "waiting for this machine's turn in the reboot window" : CLOSED, untilMs };
}

const CLOSED = "waiting for the reboot window";
