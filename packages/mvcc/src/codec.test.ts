import { crc32c } from "@keelson/types";
import fc from "fast-check";
import { expect, it } from "vitest";
import { bytesToKey, compareBytes, keyToBytes } from "./bytes.ts";
import { decodeRecord, encodePut, encodeTombstone, parseRecordKey, recordKey, setFollowing } from "./codec.ts";
import { keyRange, prefixEnd, rangeContains } from "./key-range.ts";
import { decodeCompactionMeta, decodeCurrentMeta, encodeCompactionMeta, encodeCurrentMeta } from "./meta.ts";

const ascii = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0));
const revision = fc.oneof(fc.nat(300), fc.maxSafeInteger().map(Math.abs));
const u32 = fc.nat(0xffff_ffff);
const record = fc.record({
  main: revision,
  sub: u32,
  following: u32,
  key: fc.uint8Array({ maxLength: 200 }),
  createRevision: revision,
  version: revision,
  value: fc.uint8Array({ maxLength: 200 }),
  lease: fc.oneof(fc.constant(0n), fc.bigInt({ min: 1n, max: 2n ** 63n - 1n })),
  tombstone: fc.boolean(),
});
type Sample = typeof record extends fc.Arbitrary<infer T> ? T : never;

function encode(r: Sample): { key: Uint8Array; bytes: Uint8Array; bodyCrc: number } {
  const key = recordKey(5, r.main, r.sub);
  const kv = { ...r, modRevision: r.main };
  const encoded = r.tombstone ? encodeTombstone(key, r.key) : encodePut(key, kv);
  setFollowing(encoded.bytes, encoded.bodyCrc, r.following);
  return encoded;
}

// The check value of the CRC catalogue, and test vectors of RFC 3720 appendix B.4.
it.each([
  ["123456789", ascii("123456789"), 0xe3069283],
  ["32 zeros", new Uint8Array(32), 0x8a9136aa],
  ["32 ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ["0 to 31", Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ["nothing", new Uint8Array(0), 0],
])("crc32c of %s", (_title, bytes, want) => expect(crc32c(0, bytes)).toBe(want));

it("crc32c can be continued at any point", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(60), (bytes, cut) => {
      const at = Math.min(cut, bytes.length);
      expect(crc32c(crc32c(0, bytes, 0, at), bytes, at)).toBe(crc32c(0, bytes));
    }),
  );
});

it("records come back as they were, and keys sort by revision", () => {
  fc.assert(
    fc.property(record, record, (a, b) => {
      const { key, bytes, bodyCrc } = encode(a);
      const got = decodeRecord(key, bytes);
      const { tombstone, following, main } = a;
      expect(got).toMatchObject({ tombstone, following, bodyCrc });
      const put = { createRevision: a.createRevision, version: a.version, value: a.value, lease: a.lease };
      const gone = { createRevision: 0, version: 0, value: new Uint8Array(0), lease: 0n };
      expect(got.kv).toEqual({ key: a.key, modRevision: main, ...(tombstone ? gone : put) });
      expect(parseRecordKey(key)).toEqual({ main, sub: a.sub });
      const order = Math.sign(a.main - b.main || a.sub - b.sub);
      expect(Math.sign(compareBytes(key, encode(b).key))).toBe(order);
    }),
  );
});

it("any flipped bit of a record or its key is detected and the revision named", () => {
  fc.assert(
    fc.property(record, fc.nat(), fc.nat(7), (r, where, bit) => {
      const { key, bytes } = encode(r);
      const bad = bytes.slice();
      const at = where % bad.length;
      bad[at] = (bad[at] as number) ^ (1 << bit);
      expect(() => decodeRecord(key, bad)).toThrow(`at revision ${r.main}/${r.sub}`);
      const otherKey = recordKey(5, r.main, (r.sub ^ (1 << bit)) >>> 0);
      expect(() => decodeRecord(otherKey, bytes)).toThrow("wrong checksum");
    }),
  );
});

it("a record cut short is detected", () => {
  fc.assert(
    fc.property(record, fc.nat(), (r, to) => {
      const { key, bytes } = encode(r);
      expect(() => decodeRecord(key, bytes.subarray(0, to % bytes.length))).toThrow(
        expect.objectContaining({ code: "ERR_CORRUPT_VALUE" }),
      );
    }),
  );
});

it("meta records come back, and a flipped bit is detected", () => {
  const meta = fc.record({ revision, liveKeys: revision, hashLow: u32, hashHigh: u32 });
  const compaction = fc.record({ compactRevision: revision, cursorMain: revision, cursorSub: u32, done: fc.boolean() });
  fc.assert(
    fc.property(meta, compaction, fc.nat(), fc.nat(7), (m, c, where, bit) => {
      const pairs = [
        [encodeCurrentMeta(m), m, decodeCurrentMeta],
        [encodeCompactionMeta(c), c, decodeCompactionMeta],
      ] as const;
      for (const [bytes, value, decode] of pairs) {
        expect(decode(bytes)).toEqual(value);
        const at = where % bytes.length;
        bytes[at] = (bytes[at] as number) ^ (1 << bit);
        expect(() => decode(bytes)).toThrow("wrong checksum");
      }
    }),
  );
});

it("keys as strings keep their bytes and their order", () => {
  const bytes = fc.uint8Array({ maxLength: 12 });
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      const [x, y] = [bytesToKey(a), bytesToKey(b)];
      expect(keyToBytes(x)).toEqual(a);
      expect(x < y ? -1 : x > y ? 1 : 0).toBe(Math.sign(compareBytes(a, b)));
    }),
  );
  const long = new Uint8Array(1 << 20).map((_, i) => i * 31);
  expect(keyToBytes(bytesToKey(long))).toEqual(long);
});

it("a prefix's end bounds exactly the keys with that prefix", () => {
  const bytes = fc.array(fc.constantFrom(0, 1, 0x61, 0xfe, 0xff), { maxLength: 4 }).map((a) => Uint8Array.from(a));
  fc.assert(
    fc.property(bytes, bytes, (prefix, key) => {
      const hasPrefix = bytesToKey(key).startsWith(bytesToKey(prefix));
      expect(rangeContains(keyRange(prefix, prefixEnd(prefix)), bytesToKey(key))).toBe(hasPrefix);
    }),
  );
});
