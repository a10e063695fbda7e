import fc from "fast-check";
import { expect, it } from "vitest";
import type { Commit } from "../core/objects.ts";
import { decodeSizes } from "./sizes.ts";

const SUM = "ab".repeat(32);

function commitWith(entries: readonly Uint8Array[], type = "aay"): Commit {
  const zero = "0".repeat(64);
  const value = type === "aay" ? entries : (entries[0] ?? new Uint8Array());
  const metadata: Commit["metadata"] = [["ostree.sizes", { type, value }]];
  return { metadata, related: [], subject: "", body: "", timestamp: 0, rootTree: zero, rootMeta: zero };
}

const entry = (...tail: number[]) => Uint8Array.from([...Buffer.from(SUM, "hex"), ...tail]);

it.each<[string, number[], object]>([
  ["small sizes, a file", [5, 7, 1], { archivedBytes: 5, unpackedBytes: 7, type: "file" }],
  [
    "sizes of several bytes, the lowest first",
    [0x80, 1, 0xff, 0x7f, 2],
    { archivedBytes: 128, unpackedBytes: 16_383, type: "dirtree" },
  ],
  ["an old entry without a type", [1, 2], { archivedBytes: 1, unpackedBytes: 2, type: undefined }],
  ["a type that is not known", [1, 2, 99], { archivedBytes: 1, unpackedBytes: 2, type: undefined }],
])("reads %s", (_title, tail, want) => {
  expect(decodeSizes(commitWith([entry(...tail)]))).toEqual([{ checksum: SUM, ...want }]);
});

it.each<[string, Commit]>([
  ["of another type", commitWith([entry(1, 2, 1)], "ay")],
  ["that ends in a checksum", commitWith([new Uint8Array(20)])],
  ["that ends in a number", commitWith([entry(0x80)])],
  ["with a number that does not end", commitWith([entry(...Array<number>(12).fill(0xff), 1)])],
  ["with more than it needs", commitWith([entry(1, 2, 1, 1)])],
])("takes an index %s for none", (_title, commit) => {
  expect(decodeSizes(commit)).toBeUndefined();
});

it("finds none where there is none", () => {
  expect(decodeSizes({ ...commitWith([]), metadata: [] })).toBeUndefined();
});

it("never fails and never gives a size that is not a safe number", () => {
  const entries = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 });
  fc.assert(
    fc.property(entries, (bytes) => {
      for (const { archivedBytes, unpackedBytes } of decodeSizes(commitWith(bytes)) ?? []) {
        expect(Number.isSafeInteger(archivedBytes) && Number.isSafeInteger(unpackedBytes)).toBe(true);
      }
    }),
  );
});
