import { hexId, type MemberId } from "@keelson/types";
import { decodeConfChange, decodeConfChangeV2 } from "./codec/conf-change.ts";
import { type AnyConfChange, asV2, formatConfChanges } from "./conf-change.ts";
import { RaftDecodeError } from "./errors.ts";
import { quoteBytes } from "./quote.ts";
import type { Ready } from "./ready.ts";
import {
  type ConfState,
  type Entry,
  type HardState,
  isEmptyHardState,
  isEmptySnapshot,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  NONE,
  type ReadState,
  type Snapshot,
  type SoftState,
} from "./types.ts";

// The texts are upstream's (util.go), because people grep for them and test scripts compare them.

/** Renders the payload of a normal entry; the default quotes it. */
export type EntryFormatter = (data: Uint8Array) => string;

/** `Term:1 Vote:2 Commit:3` */
export function describeHardState(hs: HardState): string {
  const vote = hs.vote === NONE ? "" : ` Vote:${hs.vote}`;
  return `Term:${hs.term}${vote} Commit:${hs.commit}`;
}

/** `Lead:1 State:StateFollower` */
export function describeSoftState(ss: SoftState): string {
  return `Lead:${ss.lead} State:${ss.raftState}`;
}

/** `Voters:[1 2] VotersOutgoing:[] Learners:[3] LearnersNext:[] AutoLeave:false` */
export function describeConfState(cs: ConfState): string {
  return (
    `Voters:${list(cs.voters)} VotersOutgoing:${list(cs.votersOutgoing)} Learners:${list(cs.learners)} ` +
    `LearnersNext:${list(cs.learnersNext)} AutoLeave:${cs.autoLeave}`
  );
}

/** In the text format of protobuf: `voters:1 voters:2 auto_leave:false`. */
export function describeConfStateProto(cs: ConfState): string {
  const field = (name: string, ids: readonly MemberId[]): string[] => ids.map((id) => `${name}:${id}`);
  return [
    ...field("voters", cs.voters),
    ...field("learners", cs.learners),
    ...field("voters_outgoing", cs.votersOutgoing),
    ...field("learners_next", cs.learnersNext),
    `auto_leave:${cs.autoLeave}`,
  ].join(" ");
}

/** `Index:10 Term:1 ConfState:…` */
export function describeSnapshot(snap: Snapshot): string {
  const { index, term, confState } = snap.metadata;
  return `Index:${index} Term:${term} ConfState:${describeConfState(confState)}`;
}

/** `transition:… changes:{type:… node_id:1} context:"x"` */
export function describeConfChange(cc: AnyConfChange): string {
  const { transition, changes, context } = asV2(cc);
  let s = `transition:${transition}`;
  for (const c of changes) s += ` changes:{type:${c.type} node_id:${c.nodeId}}`;
  return context.length > 0 ? `${s} context:${quoteBytes(context)}` : s;
}

/** `1/11 EntryNormal "foo"`, `1/12 EntryConfChangeV2 v2 r3` */
export function describeEntry(e: Entry, format: EntryFormatter = quoteBytes): string {
  const text = e.type === "EntryNormal" ? format(e.data) : describeChangeData(e);
  return `${e.term}/${e.index} ${e.type}${text === "" ? "" : ` ${text}`}`;
}

function describeChangeData(e: Entry): string {
  try {
    const cc = e.type === "EntryConfChange" ? decodeConfChange(e.data) : decodeConfChangeV2(e.data);
    return formatConfChanges(asV2(cc).changes);
  } catch (error) {
    if (error instanceof RaftDecodeError) return error.message;
    throw error;
  }
}

/** One line per entry. */
export function describeEntries(entries: readonly Entry[], format?: EntryFormatter): string {
  return entries.map((e) => `${describeEntry(e, format)}\n`).join("");
}

/** `1->2 MsgApp Term:1 Log:1/10 Commit:10 Entries:[…]` */
export function describeMessage(m: Message, format?: EntryFormatter, indent = ""): string {
  let s = `${indent}${target(m.from)}->${target(m.to)} ${m.type} Term:${m.term} Log:${m.logTerm}/${m.index}`;
  if (m.reject) s += ` Rejected (Hint: ${m.rejectHint})`;
  if (m.commit !== 0) s += ` Commit:${m.commit}`;
  if (m.vote !== NONE) s += ` Vote:${m.vote}`;
  const [only] = m.entries;
  if (m.entries.length === 1 && only !== undefined) {
    s += ` Entries:[${describeEntry(only, format)}]`;
  } else if (m.entries.length > 1) {
    s += ` Entries:[${m.entries.map((e) => `\n${indent}  ${describeEntry(e, format)}`).join("")}\n${indent}]`;
  }
  if (m.snapshot !== undefined && !isEmptySnapshot(m.snapshot)) {
    s += `\n${indent}  Snapshot: ${describeSnapshot(m.snapshot)}`;
  }
  if (m.responses.length > 0) {
    s += ` Responses:[${m.responses.map((r) => `\n${describeMessage(r, format, `${indent}  `)}`).join("")}\n${indent}]`;
  }
  return s;
}

/** Several lines: everything a Ready holds. */
export function describeReady(rd: Ready, format?: EntryFormatter): string {
  let s = "";
  if (rd.softState !== undefined) s += `${describeSoftState(rd.softState)}\n`;
  if (rd.hardState !== undefined && !isEmptyHardState(rd.hardState)) {
    s += `HardState ${describeHardState(rd.hardState)}\n`;
  }
  if (rd.readStates.length > 0) s += `ReadStates [${rd.readStates.map(describeReadState).join(" ")}]\n`;
  if (rd.entries.length > 0) s += `Entries:\n${describeEntries(rd.entries, format)}`;
  if (rd.snapshot !== undefined && !isEmptySnapshot(rd.snapshot)) s += `Snapshot ${describeSnapshot(rd.snapshot)}\n`;
  if (rd.committedEntries.length > 0) s += `CommittedEntries:\n${describeEntries(rd.committedEntries, format)}`;
  if (rd.messages.length > 0) {
    s += `Messages:\n${rd.messages.map((m) => `${describeMessage(m, format)}\n`).join("")}`;
  }
  return s === "" ? "<empty Ready>" : `Ready MustSync=${rd.mustSync}:\n${s}`;
}

function describeReadState(rs: ReadState): string {
  return `{${rs.index} ${list(rs.context)}}`;
}

function list(values: Iterable<bigint | number>): string {
  return `[${[...values].join(" ")}]`;
}

function target(id: MemberId): string {
  switch (id) {
    case NONE:
      return "None";
    case LOCAL_APPEND_THREAD:
      return "AppendThread";
    case LOCAL_APPLY_THREAD:
      return "ApplyThread";
    default:
      return hexId(id);
  }
}
