import { describe, expect, it } from "vitest";
import { entriesOfTerms, message } from "../test/harness/network.ts";
import { confChange, parseConfChanges } from "./conf-change.ts";
import {
  describeConfChange,
  describeConfStateProto,
  describeEntry,
  describeMessage,
  describeReady,
} from "./describe.ts";
import { quoteBytes } from "./quote.ts";

const utf8 = (s: string): Uint8Array => new TextEncoder().encode(s);

// The expected texts are what Go's %q prints.
describe("quoted bytes", () => {
  it.each([
    [utf8(""), '""'],
    [utf8('a"b\\c'), '"a\\"b\\\\c"'],
    [utf8("tab\tline\nbell\x07nul\0del\x7f"), '"tab\\tline\\nbell\\anul\\x00del\\x7f"'],
    [utf8("grün ∞ 𝄞"), '"grün ∞ 𝄞"'],
    [utf8("\u00a0\u200b\ufeff"), '"\\u00a0\\u200b\\ufeff"'],
    [Uint8Array.of(0xff, 0x41, 0xc3, 0xe2, 0x88), '"\\xffA\\xc3\\xe2\\x88"'],
    [Uint8Array.of(0xed, 0xa0, 0x80, 0xc0, 0x80), '"\\xed\\xa0\\x80\\xc0\\x80"'],
  ])("%j", (data, want) => expect(quoteBytes(data)).toBe(want));
});

describe("texts", () => {
  it("of a message with several entries and a rejection", () => {
    const m = message("MsgAppResp", 10n, 255n, {
      term: 3,
      logTerm: 2,
      index: 9,
      reject: true,
      rejectHint: 4,
      entries: entriesOfTerms(1, [1, 2]),
    });
    expect(describeMessage(m)).toBe(
      'a->ff MsgAppResp Term:3 Log:2/9 Rejected (Hint: 4) Entries:[\n  1/1 EntryNormal ""\n  2/2 EntryNormal ""\n]',
    );
  });
  it("of a membership change", () => {
    const cc = confChange({ changes: parseConfChanges("v1 r2"), context: utf8("why") });
    expect(describeConfChange(cc)).toBe(
      'transition:ConfChangeTransitionAuto changes:{type:ConfChangeAddNode node_id:1} changes:{type:ConfChangeRemoveNode node_id:2} context:"why"',
    );
  });
  it("of a membership in protobuf's text format", () => {
    const cs = { voters: [1n, 2n], learners: [3n], votersOutgoing: [], learnersNext: [], autoLeave: true };
    expect(describeConfStateProto(cs)).toBe("voters:1 voters:2 learners:3 auto_leave:true");
  });
  it("of an entry with a malformed change", () => {
    expect(describeEntry({ term: 1, index: 2, type: "EntryConfChange", data: Uint8Array.of(0x10) })).toBe(
      "1/2 EntryConfChange cannot decode ConfChange: unexpected end at byte 1",
    );
  });
  it("of reads in a Ready", () => {
    const rd = {
      readStates: [{ index: 5, context: utf8("AB") }],
      entries: [],
      committedEntries: [],
      messages: [],
      mustSync: false,
    };
    expect(describeReady(rd)).toBe("Ready MustSync=false:\nReadStates [{5 [65 66]}]\n");
  });
});
