import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LayerError } from "../errors.ts";
import { concat, type MadeEntry, makeTar, paxRecords } from "../testing/index.ts";
import { returnsOrThrows } from "../testing/thrown-by.ts";
import { bytesToText } from "./header.ts";
import { type TarEntry, TarScanner } from "./scanner.ts";

function scan(tar: Uint8Array, pieceBytes = 512): { entry: TarEntry; content: string }[] {
  const result: { entry: TarEntry; content: string; isEnded: boolean }[] = [];
  const scanner = new TarScanner({
    entry: (entry) => void result.push({ entry, content: "", isEnded: false }),
    data(bytes) {
      const last = result.at(-1);
      if (last !== undefined) last.content += bytesToText(bytes);
    },
    end() {
      const last = result.at(-1);
      if (last !== undefined) last.isEnded = true;
    },
  });
  for (let at = 0; at < tar.length; at += pieceBytes) scanner.push(tar.subarray(at, at + pieceBytes));
  scanner.finish();
  expect(result.every((r) => r.isEnded)).toBe(true);
  return result.map(({ entry, content }) => ({ entry, content }));
}

const only = (entry: MadeEntry) => scan(makeTar([entry]))[0]?.entry;

describe("TarScanner", () => {
  it.each([
    [
      "a plain file",
      { name: "a", mode: 0o4755, uid: 7, gid: 8, mtime: 9 },
      { kind: "file", mode: 0o4755, uid: 7, gid: 8, mtime: { seconds: 9, nanos: 0 } },
    ],
    ["an old directory", { name: "d/" }, { kind: "directory" }],
    ["a contiguous file", { name: "a", type: "7", content: "x" }, { kind: "file", size: 1 }],
    ["a time before 1970", { name: "a", mtime: -5 }, { mtime: { seconds: -5, nanos: 0 } }],
    ["an owner beyond octal", { name: "a", uid: 3_000_000_000 }, { uid: 3_000_000_000 }],
    ["a long name", { name: "n/".repeat(200) }, { name: "n/".repeat(200), kind: "directory" }],
    [
      "a long link",
      { name: "l", type: "2", linkName: "t/".repeat(90) },
      { kind: "symlink", linkName: "t/".repeat(90) },
    ],
    [
      "a path by pax",
      { name: "x", pax: { path: "b/c", linkpath: "no link, no target" } },
      { name: "b/c", linkName: "" },
    ],
    ["a link by pax", { name: "x", type: "1", pax: { linkpath: "b/c" } }, { kind: "hardlink", linkName: "b/c" }],
    ["ids by pax", { name: "x", pax: { uid: "4000000000", gid: "5" } }, { uid: 4_000_000_000, gid: 5 }],
    ["a time by pax", { name: "x", pax: { mtime: "-1.25" } }, { mtime: { seconds: -2, nanos: 750_000_000 } }],
    ["a device", { name: "x", type: "3", major: 1, minor: 3 }, { kind: "char", major: 1, minor: 3 }],
    [
      "a size that a directory does not have",
      { name: "x/", type: "5", statedSize: 99 },
      { kind: "directory", size: 0 },
    ],
  ] as [string, MadeEntry, Partial<TarEntry>][])("reads %s", (_title, made, want) =>
    expect(only(made)).toMatchObject(want),
  );

  it("reads extended attributes with any bytes", () => {
    const entry = only({ name: "x", pax: { "SCHILY.xattr.user.a": "=\n\0\xff", "LIBARCHIVE.xattr.user.b": "x" } });
    expect([...(entry?.xattrs ?? [])]).toEqual([["user.a", "=\n\0\xff"]]);
  });

  it("takes the size of pax for a file", () => {
    const tar = makeTar([{ name: "x", pax: { size: "3" }, content: "abc", statedSize: 0 }]);
    expect(scan(tar)[0]?.content).toBe("abc");
  });

  it("keeps a global header's records until an entry's own", () => {
    const global = makeTar([{ name: "g", type: "g", content: paxRecords({ uid: "5" }) }], { isEnded: false });
    const rest = makeTar([{ name: "a" }, { name: "b", pax: { uid: "6" } }, { name: "c" }]);
    expect(scan(concat([global, rest])).map(({ entry }) => entry.uid)).toEqual([5, 6, 5]);
  });

  it.each([
    ["noise", new Uint8Array(1024).fill(7), "not-a-tar"],
    ["a changed header", makeTar([{ name: "a" }]).map((b, i) => (i === 3 ? 9 : b)), "not-a-tar"],
    ["an unknown type", makeTar([{ name: "a", type: "V" }]), "not-a-tar"],
    ["a sparse file of GNU", makeTar([{ name: "a", type: "S" }]), "sparse"],
    ["a sparse file of pax", makeTar([{ name: "a", pax: { "GNU.sparse.major": "1" } }]), "sparse"],
    ["an extended header without end", makeTar([{ name: "p", type: "x", content: "99 a=b\n" }]), "not-a-tar"],
    ["an extended header of nonsense", makeTar([{ name: "p", type: "x", content: "hello" }]), "not-a-tar"],
    ["a huge extended header", makeTar([{ name: "p", type: "x", statedSize: 2 ** 32 }]), "limit"],
    ["a huge long name", makeTar([{ name: "p", type: "L", statedSize: 5_000 }]), "limit"],
    [
      "a hundred records for all entries",
      makeTar([
        {
          name: "g",
          type: "g",
          content: paxRecords(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, "v"]))),
        },
      ]),
      "limit",
    ],
    ["a name with NUL", makeTar([{ name: "a", pax: { path: "a\0b" } }]), "bad-name"],
    ["an owner out of range", makeTar([{ name: "a", pax: { uid: "4294967295" } }]), "bad-attribute"],
    ["a negative size", makeTar([{ name: "a", statedSize: -1 }]), "not-a-tar"],
    ["a size beyond all numbers", makeTar([{ name: "a", pax: { size: "99999999999999999" } }]), "not-a-tar"],
    ["a cut file", makeTar([{ name: "a", content: "x".repeat(2_000) }]).subarray(0, 1_024), "truncated"],
    ["a cut header", makeTar([{ name: "a" }]).subarray(0, 300), "truncated"],
    ["a header without its entry", makeTar([{ name: "p", type: "x", content: paxRecords({ a: "b" }) }]), "truncated"],
    ["something after a lone block of zeros", concat([new Uint8Array(512), makeTar([{ name: "a" }])]), "not-a-tar"],
  ] as [string, Uint8Array, string][])("refuses %s", (_title, tar, problem) => {
    expect(() => scan(tar)).toThrow(LayerError);
    expect(() => scan(tar)).toThrow(expect.objectContaining({ problem }));
  });

  it("ignores what follows the end, and does without an end", () => {
    expect(scan(concat([makeTar([{ name: "a" }]), new Uint8Array(700).fill(1)]))).toHaveLength(1);
    expect(scan(makeTar([{ name: "a", content: "x" }], { isEnded: false }))).toHaveLength(1);
    expect(scan(new Uint8Array(0))).toEqual([]);
  });

  const entry = fc.record({
    name: fc.stringMatching(/^[a-z][a-z/.]{0,200}$/),
    content: fc.uint8Array({ maxLength: 1_500 }),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.integer({ min: 0, max: 0xffff_fffe }),
    mtime: fc.integer({ min: -(2 ** 33), max: 2 ** 34 }),
  });

  it("reads what was written, however it is cut into pieces", () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 6 }), fc.integer({ min: 1, max: 2_000 }), (entries, pieceBytes) => {
        const made = entries.map((e) => ({ ...e, name: e.name.replace(/\/+$/, "") }));
        const found = scan(makeTar(made), pieceBytes);
        expect(found.map(({ entry: e, content }) => [e.name, content, e.mode, e.uid, e.mtime.seconds])).toEqual(
          made.map((e) => [e.name, bytesToText(e.content), e.mode, e.uid, e.mtime]),
        );
      }),
    );
  });

  it("gives entries or a LayerError for any change of a byte", () => {
    const tar = makeTar([{ name: "a", pax: { path: "b", mtime: "1.5" }, content: "abc" }, { name: "l".repeat(150) }]);
    fc.assert(
      fc.property(fc.nat(tar.length - 1), fc.integer({ min: 0, max: 255 }), (at, byte) => {
        expect(returnsOrThrows(() => scan(tar.with(at, byte)), LayerError)).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});
