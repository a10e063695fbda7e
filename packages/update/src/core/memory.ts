import type { Denial, Target } from "./choose.ts";
import { FormatError } from "./errors.ts";
import { asArray, asCount, asObject, asText, type JsonObject, optional, parseJson } from "./json.ts";
import { checkChecksum, checkVersion } from "./release.ts";

const HISTORY_MAX = 50;
const DENIED_MAX = 200;
const REASON_MAX = 2_000;

/**
 * How far an attempt has come. Each is on disk before what it announces is begun:
 * `locked` before the deployment is finished and the boot entry written, `armed` before the reboot, `verifying` before the
 * checks, `failed` before the way back, `good` and `rolled-back` before the lock is given back.
 */
export const ATTEMPT_STEPS = ["locked", "armed", "verifying", "failed", "good", "rolled-back"] as const;
export type AttemptStep = (typeof ATTEMPT_STEPS)[number];

/** One change of version under way, from the lock to the lock. */
export interface Attempt {
  /** `rollback`: an operator asked for the version before. */
  readonly kind: "update" | "rollback";
  readonly target: Target;
  readonly from: Target;
  /** The target's deployment. */
  readonly deployment: string;
  readonly step: AttemptStep;
  /** The boot (`/proc/sys/kernel/random/boot_id`) in which this step was reached. */
  readonly bootId: string;
  /** Seconds since 1970. */
  readonly startedAt: number;
  /** Reboots asked for so far. */
  readonly reboots: number;
  /** Why it failed, once it has. */
  readonly reason?: string;
}

/** What has been done to this machine. */
export interface HistoryEntry {
  /** Seconds since 1970. */
  readonly at: number;
  readonly what: "updated" | "rolled-back" | "abandoned" | "reverted";
  readonly from: Target;
  readonly to: Target;
  /** From the lock to the end, seconds. */
  readonly seconds: number;
  readonly reason?: string;
}

/** All that an agent must not forget. Nothing else is written, so an idle machine writes nothing. */
export interface Memory {
  readonly schema: 1;
  readonly attempt?: Attempt;
  readonly denied: readonly Denial[];
  readonly history: readonly HistoryEntry[];
}

/** Of a machine that has never updated. */
export const EMPTY_MEMORY: Memory = { schema: 1, denied: [], history: [] };

/** Adds a denial unless the same version and commit are denied already; the oldest beyond the bound are dropped. */
export function addDenial(memory: Memory, denial: Denial): Memory {
  if (memory.denied.some((d) => d.version === denial.version && d.commit === denial.commit)) return memory;
  return {
    ...memory,
    denied: [...memory.denied, { ...denial, reason: denial.reason.slice(0, REASON_MAX) }].slice(-DENIED_MAX),
  };
}

/** Adds to the history, and ends the attempt if told to. */
export function addHistory(memory: Memory, entry: HistoryEntry): Memory {
  const short = entry.reason === undefined ? entry : { ...entry, reason: entry.reason.slice(0, REASON_MAX) };
  return { ...memory, history: [...memory.history, short].slice(-HISTORY_MAX) };
}

/** Replaces the attempt, or ends it. */
export function withAttempt(memory: Memory, attempt: Attempt | undefined): Memory {
  const { attempt: _, ...rest } = memory;
  return attempt === undefined ? rest : { ...rest, attempt };
}

export function encodeMemory(memory: Memory): string {
  return `${JSON.stringify(memory, null, 2)}\n`;
}

/** @throws FormatError that says what is wrong with the text */
export function parseMemory(text: string): Memory {
  const root = asObject(parseJson(text, "the state"), "the state");
  if (root["schema"] !== 1) throw new FormatError(`schema is ${JSON.stringify(root["schema"])}; this version knows 1`);
  const attempt = optional(root["attempt"], "attempt", parseAttempt);
  return {
    schema: 1,
    denied: asArray(root["denied"], "denied", DENIED_MAX).map((v, i) => parseDenial(v, `denied[${i}]`)),
    history: asArray(root["history"], "history", HISTORY_MAX).map((v, i) => parseHistory(v, `history[${i}]`)),
    ...(attempt === undefined ? {} : { attempt }),
  };
}

/** @throws FormatError */
export function parseTarget(value: unknown, where: string): Target {
  const o = asObject(value, where);
  return {
    version: checkVersion(o["version"], `${where}.version`),
    commit: checkChecksum(o["commit"], `${where}.commit`),
  };
}

/** @throws FormatError */
export function parseDenial(value: unknown, where: string): Denial {
  const o = asObject(value, where);
  return {
    ...parseTarget(value, where),
    reason: asText(o["reason"], `${where}.reason`),
    machine: asText(o["machine"], `${where}.machine`, 256),
    at: asCount(o["at"], `${where}.at`),
  };
}

function parseAttempt(value: unknown, where: string): Attempt {
  const o = asObject(value, where);
  return {
    kind: oneOf(o["kind"], `${where}.kind`, ["update", "rollback"]),
    target: parseTarget(o["target"], `${where}.target`),
    from: parseTarget(o["from"], `${where}.from`),
    deployment: asText(o["deployment"], `${where}.deployment`, 256),
    step: oneOf(o["step"], `${where}.step`, ATTEMPT_STEPS),
    bootId: asText(o["bootId"], `${where}.bootId`, 64),
    startedAt: asCount(o["startedAt"], `${where}.startedAt`),
    reboots: asCount(o["reboots"], `${where}.reboots`),
    ...reasonOf(o, where),
  };
}

function parseHistory(value: unknown, where: string): HistoryEntry {
  const o = asObject(value, where);
  return {
    at: asCount(o["at"], `${where}.at`),
    what: oneOf(o["what"], `${where}.what`, ["updated", "rolled-back", "abandoned", "reverted"]),
    from: parseTarget(o["from"], `${where}.from`),
    to: parseTarget(o["to"], `${where}.to`),
    seconds: asCount(o["seconds"], `${where}.seconds`),
    ...reasonOf(o, where),
  };
}

function reasonOf(o: JsonObject, where: string): { reason?: string } {
  const reason = optional(o["reason"], `${where}.reason`, asText);
  return reason === undefined ? {} : { reason };
}

function oneOf<const T extends string>(value: unknown, where: string, known: readonly T[]): T {
  const found = known.find((k) => k === value);
  if (found !== undefined) return found;
  throw new FormatError(`${where} is ${JSON.stringify(value)}, none of ${known.join(", ")}`, { where });
}
