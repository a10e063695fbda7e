import { entryBytes, varintBytes } from "../size.ts";
import { type Entry, MESSAGE_TYPES, type Message, type MessageType, NONE, newMessage } from "../types.ts";
import { readEntry, readSnapshot, snapshotBytes, writeEntry, writeSnapshot } from "./state.ts";
import { idBytes, WireReader, WireWriter } from "./wire.ts";

/** Responses ride in messages to local storage, one level deep; more is an attack on the stack. */
const NESTING_MAX = 4;

const TYPE_NUMBER: ReadonlyMap<MessageType, number> = new Map(MESSAGE_TYPES.map((name, i) => [name, i]));

/** raftpb.Message. */
export function encodeMessage(m: Message): Uint8Array {
  const w = new WireWriter(messageBytes(m));
  writeMessage(w, m);
  return w.bytes;
}

/** The length of {@link encodeMessage}'s result. */
export function messageBytes(m: Message): number {
  let n = 2;
  if (m.to !== NONE) n += 1 + idBytes(m.to);
  if (m.from !== NONE) n += 1 + idBytes(m.from);
  n += uintBytes(m.term) + uintBytes(m.logTerm) + uintBytes(m.index) + uintBytes(m.commit) + uintBytes(m.rejectHint);
  for (let i = 0; i < m.entries.length; i++) n += embeddedBytes(entryBytes(m.entries[i] as Entry));
  if (m.vote !== NONE) n += 1 + idBytes(m.vote);
  if (m.snapshot !== undefined) n += embeddedBytes(snapshotBytes(m.snapshot));
  if (m.reject) n += 2;
  if (m.context.length > 0) n += embeddedBytes(m.context.length);
  for (const resp of m.responses) n += embeddedBytes(messageBytes(resp));
  return n;
}

function uintBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value);
}

function embeddedBytes(size: number): number {
  return 1 + varintBytes(size) + size;
}

function writeMessage(w: WireWriter, m: Message): void {
  w.uint(1, TYPE_NUMBER.get(m.type) as number);
  if (m.to !== NONE) w.idField(2, m.to);
  if (m.from !== NONE) w.idField(3, m.from);
  if (m.term !== 0) w.uint(4, m.term);
  if (m.logTerm !== 0) w.uint(5, m.logTerm);
  if (m.index !== 0) w.uint(6, m.index);
  for (let i = 0; i < m.entries.length; i++) {
    const e = m.entries[i] as Entry;
    w.header(7, entryBytes(e));
    writeEntry(w, e);
  }
  if (m.commit !== 0) w.uint(8, m.commit);
  if (m.snapshot !== undefined) {
    w.header(9, snapshotBytes(m.snapshot));
    writeSnapshot(w, m.snapshot);
  }
  if (m.reject) w.uint(10, 1);
  if (m.rejectHint !== 0) w.uint(11, m.rejectHint);
  if (m.context.length > 0) w.data(12, m.context);
  if (m.vote !== NONE) w.idField(13, m.vote);
  for (const resp of m.responses) {
    w.header(14, messageBytes(resp));
    writeMessage(w, resp);
  }
}

/**
 * Reads a message from a peer. Its byte fields are views of `bytes`.
 * @throws RaftDecodeError for anything malformed; numbers beyond 2^53 - 1 and unknown types count as such
 */
export function decodeMessage(bytes: Uint8Array): Message {
  return readMessage(new WireReader(bytes, "Message"), 0);
}

function readMessage(r: WireReader, depth: number): Message {
  const m = newMessage("MsgHup", NONE);
  const entries: Entry[] = [];
  const responses: Message[] = [];
  while (r.next()) {
    switch (r.field) {
      case 1:
        m.type = r.oneOf(MESSAGE_TYPES);
        break;
      case 2:
        m.to = r.id();
        break;
      case 3:
        m.from = r.id();
        break;
      case 4:
        m.term = r.uint();
        break;
      case 5:
        m.logTerm = r.uint();
        break;
      case 6:
        m.index = r.uint();
        break;
      case 7:
        entries.push(readEntry(r.message("Entry")));
        break;
      case 8:
        m.commit = r.uint();
        break;
      case 9:
        m.snapshot = readSnapshot(r.message("Snapshot"));
        break;
      case 10:
        m.reject = r.bool();
        break;
      case 11:
        m.rejectHint = r.uint();
        break;
      case 12:
        m.context = r.data();
        break;
      case 13:
        m.vote = r.id();
        break;
      case 14:
        if (depth >= NESTING_MAX) r.fail("responses are nested too deep");
        responses.push(readMessage(r.message("Message"), depth + 1));
        break;
      default:
        r.skip();
    }
  }
  if (entries.length > 0) m.entries = entries;
  if (responses.length > 0) m.responses = responses;
  return m;
}
