import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AnyConfChange, CONF_CHANGE_TRANSITIONS, CONF_CHANGE_TYPES } from "../conf-change.ts";
import { RaftDecodeError } from "../errors.ts";
import { entryBytes } from "../size.ts";
import { type ConfState, ENTRY_TYPES, type Entry, MESSAGE_TYPES, type Message, type Snapshot } from "../types.ts";
import { decodeConfChange, decodeConfChangeV2, encodeConfChange, encodeConfChangeV2 } from "./conf-change.ts";
import { decodeMessage, encodeMessage, messageBytes } from "./message.ts";
import {
  decodeConfState,
  decodeEntry,
  decodeHardState,
  decodeSnapshot,
  encodeConfState,
  encodeEntry,
  encodeHardState,
  encodeSnapshot,
} from "./state.ts";

const uint = fc.oneof(fc.nat(300), fc.maxSafeNat());
const id = fc.oneof(fc.bigInt({ min: 0n, max: 300n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
const data = fc.uint8Array({ maxLength: 200 });
const entry: fc.Arbitrary<Entry> = fc.record({ term: uint, index: uint, type: fc.constantFrom(...ENTRY_TYPES), data });
const ids = fc.array(id, { maxLength: 4 });
const confState: fc.Arbitrary<ConfState> = fc.record({
  voters: ids,
  learners: ids,
  votersOutgoing: ids,
  learnersNext: ids,
  autoLeave: fc.boolean(),
});
const snapshot: fc.Arbitrary<Snapshot> = fc.record({
  data,
  metadata: fc.record({ confState, index: uint, term: uint }),
});
const flat = (responses: fc.Arbitrary<readonly Message[]>): fc.Arbitrary<Message> =>
  fc.record({
    type: fc.constantFrom(...MESSAGE_TYPES),
    to: id,
    from: id,
    term: uint,
    logTerm: uint,
    index: uint,
    entries: fc.array(entry, { maxLength: 3 }),
    commit: uint,
    vote: id,
    snapshot: fc.option(snapshot, { nil: undefined }),
    reject: fc.boolean(),
    rejectHint: uint,
    context: data,
    responses,
  });
const message = flat(fc.array(flat(fc.constant([])), { maxLength: 2 }));
const changeType = fc.constantFrom(...CONF_CHANGE_TYPES);

describe("what is encoded comes back", () => {
  it("messages, in exactly the bytes announced", () => {
    fc.assert(
      fc.property(message, (m) => {
        const bytes = encodeMessage(m);
        expect(bytes.length).toBe(messageBytes(m));
        expect(decodeMessage(bytes)).toEqual(m);
      }),
    );
  });
  it("entries, whose size limits count", () => {
    fc.assert(
      fc.property(entry, (e) => {
        expect(encodeEntry(e).length).toBe(entryBytes(e));
        expect(decodeEntry(encodeEntry(e))).toEqual(e);
      }),
    );
  });
  it("states and snapshots", () => {
    fc.assert(
      fc.property(fc.record({ term: uint, vote: id, commit: uint }), confState, snapshot, (hs, cs, snap) => {
        expect(decodeHardState(encodeHardState(hs))).toEqual(hs);
        expect(decodeConfState(encodeConfState(cs))).toEqual(cs);
        expect(decodeSnapshot(encodeSnapshot(snap))).toEqual(snap);
      }),
    );
  });
  it("membership changes", () => {
    const v1 = fc.record({ type: changeType, nodeId: id, context: data, id });
    const v2 = fc.record({
      transition: fc.constantFrom(...CONF_CHANGE_TRANSITIONS),
      changes: fc.array(fc.record({ type: changeType, nodeId: id }), { maxLength: 4 }),
      context: data,
    });
    fc.assert(
      fc.property(v1, v2, (a, b) => {
        expect<AnyConfChange>(decodeConfChange(encodeConfChange(a))).toEqual(a);
        expect<AnyConfChange>(decodeConfChangeV2(encodeConfChangeV2(b))).toEqual(b);
      }),
    );
  });
});

describe("bytes as other implementations write them", () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  const unhex = (s: string): Uint8Array => Uint8Array.from(Buffer.from(s.replaceAll(" ", ""), "hex"));

  it.each([
    ["HardState", hex(encodeHardState({ term: 1, vote: 300n, commit: 2 })), "080110ac021802"],
    ["Entry", hex(encodeEntry({ term: 1, index: 2, type: "EntryNormal", data: unhex("6869") })), "1001180222026869"],
    [
      "ConfState",
      hex(encodeConfState({ voters: [1n], learners: [2n], votersOutgoing: [], learnersNext: [], autoLeave: true })),
      "080110022801",
    ],
    [
      "ConfChange",
      hex(encodeConfChange({ type: "ConfChangeRemoveNode", nodeId: 3n, context: unhex(""), id: 0n })),
      "10011803",
    ],
    [
      "largest id",
      hex(encodeHardState({ term: 0, vote: 2n ** 64n - 1n, commit: 0 })),
      "080010ffffffffffffffffff011800",
    ],
  ])("%s", (_name, got, want) => expect(got).toBe(want));

  it("a message of an old member: every field written, an empty snapshot included", () => {
    const m = decodeMessage(unhex("0804 1002 1803 2005 2800 3007 4000 4a0a 1208 0a02 2800 1000 1800 5000 5800 6800"));
    expect(m).toMatchObject({ type: "MsgAppResp", to: 2n, from: 3n, term: 5, index: 7, entries: [], reject: false });
  });
  it("packed and unpacked lists, unknown fields of every wire type", () => {
    expect(decodeConfState(unhex("0a03010203 1004 7801 7902030405060708 09 7a0141 7d01020304")).voters).toEqual([
      1n,
      2n,
      3n,
    ]);
  });
});

describe("malformed bytes are refused with their place", () => {
  it.each([
    ["a cut varint", "0880", "cannot decode Message: unexpected end at byte 2"],
    ["a varint of 11 bytes", "20ffffffffffffffffffff01", "cannot decode Message: varint overflows 64 bits at byte 11"],
    [
      "a term beyond 2^53 - 1",
      "20ffffffffffffffff7f",
      "cannot decode Message: field 4 exceeds the largest safe integer at byte 10",
    ],
    ["an unknown message type", "0863", "cannot decode Message: field 1 has an unknown value at byte 2"],
    ["a field longer than the message", "3a05", "cannot decode Message: field 7 is longer than the message at byte 2"],
    ["a wrong wire type", "0a00", "cannot decode Message: field 1 has wire type 2, not 0 at byte 1"],
    ["a group", "7b", "cannot decode Message: field 15 has wire type 3 at byte 1"],
    ["field 0", "00", "cannot decode Message: illegal tag at byte 1"],
    [
      "responses nested without end",
      "720a72087206720472027200",
      "cannot decode Message: responses are nested too deep at byte 9",
    ],
  ])("%s", (_name, input, want) => {
    expect(() => decodeMessage(Uint8Array.from(Buffer.from(input, "hex")))).toThrow(want);
  });
  it("whatever the bytes, the only error is RaftDecodeError", () => {
    const decoders = [
      decodeMessage,
      decodeEntry,
      decodeHardState,
      decodeConfState,
      decodeSnapshot,
      decodeConfChange,
      decodeConfChangeV2,
    ];
    const mutated = fc.tuple(message, fc.nat(), fc.nat(255), fc.nat()).map(([m, at, byte, cut]) => {
      const bytes = encodeMessage(m);
      bytes[at % bytes.length] = byte;
      return bytes.subarray(0, cut % 4 === 0 ? cut % bytes.length : bytes.length);
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), mutated), (bytes) => {
        for (const decode of decoders) {
          let error: unknown;
          try {
            decode(bytes);
          } catch (e) {
            error = e;
          }
          expect(error === undefined || error instanceof RaftDecodeError).toBe(true);
        }
      }),
    );
  });
});
