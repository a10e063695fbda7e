import type { BootRecord, BootStage } from "./bootlog.ts";
import type { Trial } from "./state.ts";

/** Why a trial was given up. */
export interface FailureReason {
  /** How far the last attempt came; `none` left no record: the kernel itself panicked or hung. */
  readonly stage: BootStage | "none";
  readonly attempts: number;
  /** Attempts that left no record. */
  readonly silent: number;
  /** What the last attempt said of itself, such as the checks that were red. */
  readonly detail?: string;
  /** All of it as a sentence. */
  readonly text: string;
}

const STAGE_TEXTS: Readonly<Record<BootStage | "none", string>> = {
  none: "no sign of life: the kernel panicked or hung before the initramfs started",
  initramfs: "stuck in the initramfs before the root was mounted",
  "root-mounted": "stuck in the initramfs after the root was mounted",
  "switch-root": "the new system was started, but its update agent never reported",
  userspace: "the update agent started, but the health gate was never decided",
  gate: "the health gate was red",
  good: "it had been healthy, and was given up by hand",
};

/**
 * Tells why a trial failed, from the records its attempts left (oldest first). An attempt without a record is one that
 * never reached the initramfs. Pure.
 */
export function explainFailure(trial: Trial, records: readonly BootRecord[]): FailureReason {
  const own = records.filter((record) => record.entry === trial.id).slice(-Math.max(trial.triesDone, 1));
  const last = own.at(-1);
  const attempts = Math.max(trial.triesDone, own.length);
  const silent = attempts - own.length;
  // Records of earlier attempts say less about the end than an attempt after them that stayed silent; but which of the
  // attempts was silent is not known, so what was said counts.
  const stage = last?.stage ?? "none";
  const detail = last?.detail;
  const parts = [
    `${STAGE_TEXTS[stage]}${detail === undefined ? "" : ` (${detail})`}`,
    `${attempts} attempt${attempts === 1 ? "" : "s"}`,
    ...(silent > 0 && own.length > 0 ? [`${silent} of them without a sign of life`] : []),
  ];
  return { stage, attempts, silent, ...(detail === undefined ? {} : { detail }), text: parts.join("; ") };
}
