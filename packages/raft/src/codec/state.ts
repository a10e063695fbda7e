import type { MemberId } from "@keelson/types";
import { entryBytes, varintBytes } from "../size.ts";
import {
  type ConfState,
  EMPTY_CONF_STATE,
  ENTRY_TYPES,
  type Entry,
  type EntryType,
  type HardState,
  NO_BYTES,
  type Snapshot,
  type SnapshotMetadata,
} from "../types.ts";
import { idBytes, WireReader, WireWriter } from "./wire.ts";

// Fields at their zero are left out, as upstream since 3.7 does for what was never set; older versions write them.
// Decoded byte fields are views of the input: whoever decodes gives the buffer up.

/** raftpb.Entry. */
export function encodeEntry(e: Entry): Uint8Array {
  const w = new WireWriter(entryBytes(e));
  writeEntry(w, e);
  return w.bytes;
}

/** @throws RaftDecodeError */
export function decodeEntry(bytes: Uint8Array): Entry {
  return readEntry(new WireReader(bytes, "Entry"));
}

/** Writes the fields of an entry. */
export function writeEntry(w: WireWriter, e: Entry): void {
  if (e.type !== "EntryNormal") w.uint(1, ENTRY_TYPES.indexOf(e.type));
  if (e.term !== 0) w.uint(2, e.term);
  if (e.index !== 0) w.uint(3, e.index);
  if (e.data.length > 0) w.data(4, e.data);
}

/** Reads an entry up to the end of `r`. @throws RaftDecodeError */
export function readEntry(r: WireReader): Entry {
  let type: EntryType = "EntryNormal";
  let term = 0;
  let index = 0;
  let data: Uint8Array = NO_BYTES;
  while (r.next()) {
    if (r.field === 1) type = r.oneOf(ENTRY_TYPES);
    else if (r.field === 2) term = r.uint();
    else if (r.field === 3) index = r.uint();
    else if (r.field === 4) data = r.data();
    else r.skip();
  }
  return { term, index, type, data };
}

/** raftpb.HardState. */
export function encodeHardState(hs: HardState): Uint8Array {
  const w = new WireWriter(3 + varintBytes(hs.term) + idBytes(hs.vote) + varintBytes(hs.commit));
  w.uint(1, hs.term);
  w.idField(2, hs.vote);
  w.uint(3, hs.commit);
  return w.bytes;
}

/** @throws RaftDecodeError */
export function decodeHardState(bytes: Uint8Array): HardState {
  const r = new WireReader(bytes, "HardState");
  let term = 0;
  let vote = 0n;
  let commit = 0;
  while (r.next()) {
    if (r.field === 1) term = r.uint();
    else if (r.field === 2) vote = r.id();
    else if (r.field === 3) commit = r.uint();
    else r.skip();
  }
  return { term, vote, commit };
}

/** raftpb.ConfState. */
export function encodeConfState(cs: ConfState): Uint8Array {
  const w = new WireWriter(confStateBytes(cs));
  writeConfState(w, cs);
  return w.bytes;
}

/** @throws RaftDecodeError */
export function decodeConfState(bytes: Uint8Array): ConfState {
  return readConfState(new WireReader(bytes, "ConfState"));
}

function confStateBytes(cs: ConfState): number {
  const ids = (list: readonly MemberId[]): number => list.reduce((n, id) => n + 1 + idBytes(id), 0);
  return ids(cs.voters) + ids(cs.learners) + ids(cs.votersOutgoing) + ids(cs.learnersNext) + 2;
}

function writeConfState(w: WireWriter, cs: ConfState): void {
  for (const id of cs.voters) w.idField(1, id);
  for (const id of cs.learners) w.idField(2, id);
  for (const id of cs.votersOutgoing) w.idField(3, id);
  for (const id of cs.learnersNext) w.idField(4, id);
  w.uint(5, cs.autoLeave ? 1 : 0);
}

function readConfState(r: WireReader): ConfState {
  const voters: MemberId[] = [];
  const learners: MemberId[] = [];
  const votersOutgoing: MemberId[] = [];
  const learnersNext: MemberId[] = [];
  let autoLeave = false;
  while (r.next()) {
    if (r.field === 1) r.ids(voters);
    else if (r.field === 2) r.ids(learners);
    else if (r.field === 3) r.ids(votersOutgoing);
    else if (r.field === 4) r.ids(learnersNext);
    else if (r.field === 5) autoLeave = r.bool();
    else r.skip();
  }
  return { voters, learners, votersOutgoing, learnersNext, autoLeave };
}

/** raftpb.Snapshot. */
export function encodeSnapshot(s: Snapshot): Uint8Array {
  const w = new WireWriter(snapshotBytes(s));
  writeSnapshot(w, s);
  return w.bytes;
}

/** @throws RaftDecodeError */
export function decodeSnapshot(bytes: Uint8Array): Snapshot {
  return readSnapshot(new WireReader(bytes, "Snapshot"));
}

/** Bytes of a snapshot when encoded. */
export function snapshotBytes(s: Snapshot): number {
  const meta = metadataBytes(s.metadata);
  const data = s.data.length > 0 ? 1 + varintBytes(s.data.length) + s.data.length : 0;
  return data + 1 + varintBytes(meta) + meta;
}

/** Writes the fields of a snapshot. */
export function writeSnapshot(w: WireWriter, s: Snapshot): void {
  if (s.data.length > 0) w.data(1, s.data);
  w.header(2, metadataBytes(s.metadata));
  w.header(1, confStateBytes(s.metadata.confState));
  writeConfState(w, s.metadata.confState);
  w.uint(2, s.metadata.index);
  w.uint(3, s.metadata.term);
}

/** Reads a snapshot up to the end of `r`. @throws RaftDecodeError */
export function readSnapshot(r: WireReader): Snapshot {
  let data: Uint8Array = NO_BYTES;
  let metadata: SnapshotMetadata = { confState: EMPTY_CONF_STATE, index: 0, term: 0 };
  while (r.next()) {
    if (r.field === 1) data = r.data();
    else if (r.field === 2) metadata = readMetadata(r.message("SnapshotMetadata"));
    else r.skip();
  }
  return { data, metadata };
}

function metadataBytes(m: SnapshotMetadata): number {
  const conf = confStateBytes(m.confState);
  return 1 + varintBytes(conf) + conf + 1 + varintBytes(m.index) + 1 + varintBytes(m.term);
}

function readMetadata(r: WireReader): SnapshotMetadata {
  let confState: ConfState = EMPTY_CONF_STATE;
  let index = 0;
  let term = 0;
  while (r.next()) {
    if (r.field === 1) confState = readConfState(r.message("ConfState"));
    else if (r.field === 2) index = r.uint();
    else if (r.field === 3) term = r.uint();
    else r.skip();
  }
  return { confState, index, term };
}
