import {
  type AnyConfChange,
  CONF_CHANGE_TRANSITIONS,
  CONF_CHANGE_TYPES,
  type ConfChange,
  type ConfChangeSingle,
  type ConfChangeV2,
  isConfChangeV2,
} from "../conf-change.ts";
import { varintBytes } from "../size.ts";
import { type Entry, type EntryType, NO_BYTES } from "../types.ts";
import { idBytes, WireReader, WireWriter } from "./wire.ts";

/** raftpb.ConfChange. Type and node are always written, as every version of upstream does. */
export function encodeConfChange(cc: ConfChange): Uint8Array {
  let size = 2 + 1 + idBytes(cc.nodeId);
  if (cc.id !== 0n) size += 1 + idBytes(cc.id);
  if (cc.context.length > 0) size += 1 + varintBytes(cc.context.length) + cc.context.length;
  const w = new WireWriter(size);
  if (cc.id !== 0n) w.idField(1, cc.id);
  w.uint(2, CONF_CHANGE_TYPES.indexOf(cc.type));
  w.idField(3, cc.nodeId);
  if (cc.context.length > 0) w.data(4, cc.context);
  return w.bytes;
}

/** @throws RaftDecodeError */
export function decodeConfChange(bytes: Uint8Array): ConfChange {
  const r = new WireReader(bytes, "ConfChange");
  let type: ConfChange["type"] = "ConfChangeAddNode";
  let nodeId = 0n;
  let context: Uint8Array = NO_BYTES;
  let id = 0n;
  while (r.next()) {
    if (r.field === 1) id = r.id();
    else if (r.field === 2) type = r.oneOf(CONF_CHANGE_TYPES);
    else if (r.field === 3) nodeId = r.id();
    else if (r.field === 4) context = r.data();
    else r.skip();
  }
  return { type, nodeId, context, id };
}

/** raftpb.ConfChangeV2. */
export function encodeConfChangeV2(cc: ConfChangeV2): Uint8Array {
  let size = 2;
  for (const c of cc.changes) size += 2 + singleBytes(c);
  if (cc.context.length > 0) size += 1 + varintBytes(cc.context.length) + cc.context.length;
  const w = new WireWriter(size);
  w.uint(1, CONF_CHANGE_TRANSITIONS.indexOf(cc.transition));
  for (const c of cc.changes) {
    w.header(2, singleBytes(c));
    w.uint(1, CONF_CHANGE_TYPES.indexOf(c.type));
    w.idField(2, c.nodeId);
  }
  if (cc.context.length > 0) w.data(3, cc.context);
  return w.bytes;
}

function singleBytes(c: ConfChangeSingle): number {
  return 2 + 1 + idBytes(c.nodeId);
}

/** Empty bytes are the empty change, which leaves a joint configuration. @throws RaftDecodeError */
export function decodeConfChangeV2(bytes: Uint8Array): ConfChangeV2 {
  const r = new WireReader(bytes, "ConfChangeV2");
  let transition: ConfChangeV2["transition"] = "ConfChangeTransitionAuto";
  const changes: ConfChangeSingle[] = [];
  let context: Uint8Array = NO_BYTES;
  while (r.next()) {
    if (r.field === 1) transition = r.oneOf(CONF_CHANGE_TRANSITIONS);
    else if (r.field === 2) changes.push(readSingle(r.message("ConfChangeSingle")));
    else if (r.field === 3) context = r.data();
    else r.skip();
  }
  return { transition, changes, context };
}

function readSingle(r: WireReader): ConfChangeSingle {
  let type: ConfChangeSingle["type"] = "ConfChangeAddNode";
  let nodeId = 0n;
  while (r.next()) {
    if (r.field === 1) type = r.oneOf(CONF_CHANGE_TYPES);
    else if (r.field === 2) nodeId = r.id();
    else r.skip();
  }
  return { type, nodeId };
}

/** A change as the payload of a log entry, with the entry's type. */
export function encodeAnyConfChange(cc: AnyConfChange): { type: EntryType; data: Uint8Array } {
  return isConfChangeV2(cc)
    ? { type: "EntryConfChangeV2", data: encodeConfChangeV2(cc) }
    : { type: "EntryConfChange", data: encodeConfChange(cc) };
}

/** The change in a committed entry, or undefined when it is a normal one. @throws RaftDecodeError */
export function confChangeOf(e: Entry): AnyConfChange | undefined {
  switch (e.type) {
    case "EntryNormal":
      return undefined;
    case "EntryConfChange":
      return decodeConfChange(e.data);
    case "EntryConfChangeV2":
      return decodeConfChangeV2(e.data);
  }
}
