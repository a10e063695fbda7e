import fc from "fast-check";
import { expect, it } from "vitest";
import { checksumFromBytes } from "./checksum.ts";
import {
  decodeCommit,
  decodeDirMeta,
  decodeDirTree,
  decodeFileHeader,
  decodeZlibFileHeader,
  validateMetadataObject,
} from "./decode.ts";
import { encodeCommit, encodeDirMeta, encodeDirTree, encodeFileHeader, encodeZlibFileHeader } from "./encode.ts";
import { OstreeFormatError } from "./errors.ts";
import { encodeVariant } from "./gvariant-encode.ts";
import { compareNames } from "./names.ts";
import type { Commit, DirMeta, DirTree, FileHeader } from "./objects.ts";
import { decodeSummary, encodeSummary, type Summary } from "./summary.ts";

const checksum = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(checksumFromBytes);
const text = fc.string({ unit: "grapheme", maxLength: 20 }).filter((s) => s.isWellFormed() && !s.includes("\0"));
const name = text.filter((s) => s !== "" && s !== "." && s !== ".." && !s.includes("/"));
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const xattrs = fc.array(fc.record({ name: text.filter((s) => s !== ""), value: fc.uint8Array({ maxLength: 20 }) }), {
  maxLength: 3,
});
const metadata = fc.array(
  fc.tuple(
    text,
    fc.oneof(
      text.map((value) => ({ type: "s", value })),
      u32.map((value) => ({ type: "u", value })),
    ),
  ),
  { maxLength: 4 },
);

const commit: fc.Arbitrary<Commit> = fc.record(
  {
    metadata,
    parent: checksum,
    related: fc.constant([]),
    subject: text,
    body: text,
    timestamp: fc.nat({ max: 2 ** 40 }),
    rootTree: checksum,
    rootMeta: checksum,
  },
  { requiredKeys: ["metadata", "related", "subject", "body", "timestamp", "rootTree", "rootMeta"] },
) as fc.Arbitrary<Commit>;

const dirTree: fc.Arbitrary<DirTree> = fc
  .tuple(
    fc.uniqueArray(name, { maxLength: 12 }),
    fc.array(fc.tuple(checksum, checksum), { minLength: 12, maxLength: 12 }),
    fc.nat({ max: 12 }),
  )
  .map(([names, sums, split]) => {
    const sorted = names.sort(compareNames).map((entry, i) => [entry, ...(sums[i] ?? ["", ""])] as const);
    return { files: sorted.slice(0, split).map(([entry, file]) => [entry, file] as const), dirs: sorted.slice(split) };
  });

const dirMeta: fc.Arbitrary<DirMeta> = fc.record({
  uid: u32,
  gid: u32,
  mode: fc.nat({ max: 0o7777 }).map((bits) => bits | 0o040000),
  xattrs,
});

const fileHeader: fc.Arbitrary<FileHeader> = fc
  .record({ uid: u32, gid: u32, bits: fc.nat({ max: 0o7777 }), target: text, xattrs })
  .map(({ uid, gid, bits, target, xattrs: attributes }) => ({
    uid,
    gid,
    mode: bits | (target === "" ? 0o100000 : 0o120000),
    symlinkTarget: target,
    xattrs: attributes,
  }));

it("objects read back as they were written", () => {
  const check = <T>(values: fc.Arbitrary<T>, round: (value: T) => unknown) =>
    fc.assert(
      fc.property(values, (value) => {
        expect(round(value)).toEqual(value);
      }),
    );
  check(commit, (value) => decodeCommit(encodeCommit(value)));
  check(dirTree, (value) => decodeDirTree(encodeDirTree(value)));
  check(dirMeta, (value) => decodeDirMeta(encodeDirMeta(value)));
  check(fileHeader, (value) => decodeFileHeader(encodeFileHeader(value).subarray(8)));
  check(fileHeader, (value) => decodeZlibFileHeader(encodeZlibFileHeader(value, 0).subarray(8)).header);
  const refs = fc.array(
    fc.record({ ref: fc.constantFrom("main", "a/b", "x-1"), commitSize: fc.nat(), checksum, metadata }),
    { maxLength: 3 },
  );
  check(fc.record({ refs, metadata }) as fc.Arbitrary<Summary>, (value) => decodeSummary(encodeSummary(value)));
});

it("of any bytes, decoders fail with the one error or not at all", () => {
  const decoders = [decodeCommit, decodeDirTree, decodeDirMeta, decodeFileHeader, decodeZlibFileHeader, decodeSummary];
  fc.assert(
    fc.property(fc.constantFrom(...decoders), fc.uint8Array({ maxLength: 200 }), (decode, bytes) => {
      try {
        decode(bytes);
      } catch (error) {
        if (!(error instanceof OstreeFormatError)) throw error;
      }
    }),
    { numRuns: 2_000 },
  );
});

const ZERO = new Uint8Array(32);
it.each<[string, "commit" | "dirtree" | "dirmeta", string, Parameters<typeof encodeVariant>[1]]>([
  ["a name that leaves the directory", "dirtree", "(a(say)a(sayay))", [[["../x", ZERO]], []]],
  ["a name with a slash", "dirtree", "(a(say)a(sayay))", [[], [["a/b", ZERO, ZERO]]]],
  ["an empty name", "dirtree", "(a(say)a(sayay))", [[["", ZERO]], []]],
  ["a name that is a file and a directory", "dirtree", "(a(say)a(sayay))", [[["a", ZERO]], [["a", ZERO, ZERO]]]],
  ["a checksum that is too short", "dirtree", "(a(say)a(sayay))", [[["a", ZERO.subarray(1)]], []]],
  ["a dirmeta of a file", "dirmeta", "(uuua(ayay))", [0, 0, 0xa4810000, []]],
  ["a mode with unknown bits", "dirmeta", "(uuua(ayay))", [0, 0, 0xed410f00, []]],
  ["an xattr without NUL", "dirmeta", "(uuua(ayay))", [0, 0, 0xed410000, [[new Uint8Array([120]), ZERO]]]],
  [
    "a commit without a tree",
    "commit",
    "(a{sv}aya(say)sstayay)",
    [[], ZERO.subarray(32), [], "", "", 0n, ZERO.subarray(32), ZERO],
  ],
])("refuses %s", (_title, type, format, value) => {
  expect(() => validateMetadataObject(type, encodeVariant(format, value))).toThrow(OstreeFormatError);
});

it.each<[string, FileHeader]>([
  ["a device", { uid: 0, gid: 0, mode: 0o020644, symlinkTarget: "", xattrs: [] }],
  ["a regular file with a target", { uid: 0, gid: 0, mode: 0o100644, symlinkTarget: "x", xattrs: [] }],
  ["a symlink without a target", { uid: 0, gid: 0, mode: 0o120777, symlinkTarget: "", xattrs: [] }],
])("refuses %s", (_title, header) => {
  expect(() => decodeFileHeader(encodeFileHeader(header).subarray(8))).toThrow(OstreeFormatError);
});
