import type { MemberId } from "@keelson/types";
import { ConfChangeError } from "./errors.ts";
import { NO_BYTES } from "./types.ts";

/** What to do to one member; the position is the number on the wire (raftpb.ConfChangeType). */
export const CONF_CHANGE_TYPES = [
  "ConfChangeAddNode",
  "ConfChangeRemoveNode",
  "ConfChangeUpdateNode",
  "ConfChangeAddLearnerNode",
] as const;
/** One of {@link CONF_CHANGE_TYPES}. */
export type ConfChangeType = (typeof CONF_CHANGE_TYPES)[number];

/**
 * How to use joint consensus; the position is the number on the wire. `Auto`: only when needed, and left by the leader.
 * `JointImplicit`: always, left by the leader. `JointExplicit`: always, left when an empty change is proposed.
 */
export const CONF_CHANGE_TRANSITIONS = [
  "ConfChangeTransitionAuto",
  "ConfChangeTransitionJointImplicit",
  "ConfChangeTransitionJointExplicit",
] as const;
/** One of {@link CONF_CHANGE_TRANSITIONS}. */
export type ConfChangeTransition = (typeof CONF_CHANGE_TRANSITIONS)[number];

/** The older form: one change, never joint. `id` is etcd's own and 0n elsewhere. */
export interface ConfChange {
  readonly type: ConfChangeType;
  readonly nodeId: MemberId;
  readonly context: Uint8Array;
  readonly id: bigint;
}

/** What happens to one member. Node 0 means nothing. */
export interface ConfChangeSingle {
  readonly type: ConfChangeType;
  readonly nodeId: MemberId;
}

/** Any number of changes at once. Without changes (and with transition Auto) it leaves a joint configuration. */
export interface ConfChangeV2 {
  readonly transition: ConfChangeTransition;
  readonly changes: readonly ConfChangeSingle[];
  readonly context: Uint8Array;
}

/** A membership change in either form. */
export type AnyConfChange = ConfChange | ConfChangeV2;

/** A change with the defaults filled in: `confChange({ changes: [...] })`. */
export function confChange(fields: Partial<ConfChangeV2> = {}): ConfChangeV2 {
  return { transition: "ConfChangeTransitionAuto", changes: [], context: NO_BYTES, ...fields };
}

/** Whether the change is in the newer form. */
export function isConfChangeV2(cc: AnyConfChange): cc is ConfChangeV2 {
  return "changes" in cc;
}

/** The same operation in the newer form. */
export function asV2(cc: AnyConfChange): ConfChangeV2 {
  if (isConfChangeV2(cc)) return cc;
  return confChange({ changes: [{ type: cc.type, nodeId: cc.nodeId }], context: cc.context });
}

/** How the change is carried out. More than one change always goes through a joint configuration. */
export function planOf(cc: ConfChangeV2): "leave-joint" | "enter-joint" | "enter-joint-autoleave" | "simple" {
  switch (cc.transition) {
    case "ConfChangeTransitionAuto":
      if (cc.changes.length === 0) return "leave-joint";
      return cc.changes.length > 1 ? "enter-joint-autoleave" : "simple";
    case "ConfChangeTransitionJointImplicit":
      return "enter-joint-autoleave";
    case "ConfChangeTransitionJointExplicit":
      return "enter-joint";
  }
}

const LETTER_TO_TYPE: Readonly<Record<string, ConfChangeType>> = {
  v: "ConfChangeAddNode",
  l: "ConfChangeAddLearnerNode",
  r: "ConfChangeRemoveNode",
  u: "ConfChangeUpdateNode",
};
const TYPE_TO_LETTER: Readonly<Record<ConfChangeType, string>> = {
  ConfChangeAddNode: "v",
  ConfChangeAddLearnerNode: "l",
  ConfChangeRemoveNode: "r",
  ConfChangeUpdateNode: "u",
};

/**
 * Parses `v1 l2 r3 u4`: make 1 a voter, 2 a learner, remove 3, update 4.
 * @throws ConfChangeError naming the token
 */
export function parseConfChanges(text: string): ConfChangeSingle[] {
  const trimmed = text.trim();
  if (trimmed === "") return [];
  return trimmed.split(" ").map((token) => {
    if (token.length < 2) throw new ConfChangeError(`unknown token ${token}`);
    const type = LETTER_TO_TYPE[token.charAt(0)];
    if (type === undefined) throw new ConfChangeError(`unknown input: ${token}`);
    return { type, nodeId: parseId(token.slice(1)) };
  });
}

function parseId(digits: string): MemberId {
  const reason = !/^\d+$/.test(digits) ? "invalid syntax" : BigInt(digits) >= 2n ** 64n ? "value out of range" : "";
  if (reason !== "") throw new ConfChangeError(`strconv.ParseUint: parsing ${JSON.stringify(digits)}: ${reason}`);
  return BigInt(digits);
}

/** The inverse of {@link parseConfChanges}. */
export function formatConfChanges(changes: readonly ConfChangeSingle[]): string {
  return changes.map((c) => `${TYPE_TO_LETTER[c.type]}${c.nodeId}`).join(" ");
}
