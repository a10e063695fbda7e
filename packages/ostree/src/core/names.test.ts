import fc from "fast-check";
import { expect, it } from "vitest";
import { checksumFromBytes, checksumToBytes, fromModifiedBase64, isChecksum, modifiedBase64 } from "./checksum.ts";
import { OstreeNameError } from "./errors.ts";
import { glibHashOrder } from "./glib-order.ts";
import { compareNames, isRefName, looseObjectPath, parseLooseName, parseRefspec } from "./names.ts";

it.each<[string, boolean]>([
  ["main", true],
  ["keelson/x86_64/stable", true],
  ["a.b-c_d/1", true],
  ["", false],
  ["/main", false],
  ["main/", false],
  ["a//b", false],
  ["../x", false],
  [".hidden", false],
  ["-x", false],
  ["a b", false],
  ["ä", false],
  ["a\nb", false],
  [`a/${"b".repeat(256)}`, false],
])("ref %j: %s", (name, valid) => expect(isRefName(name)).toBe(valid));

it("splits a refspec", () => {
  expect(parseRefspec("main")).toEqual({ ref: "main" });
  expect(parseRefspec("origin:a/b")).toEqual({ remote: "origin", ref: "a/b" });
  for (const bad of [":main", "o/x:main", "origin:", "a:b:c"]) expect(() => parseRefspec(bad)).toThrow(OstreeNameError);
});

const CHECKSUM = `ab${"0".repeat(60)}cd`;
it("names loose objects as upstream does", () => {
  expect(looseObjectPath("file", CHECKSUM, "archive")).toBe(`ab/${CHECKSUM.slice(2)}.filez`);
  expect(looseObjectPath("file", CHECKSUM, "bare")).toBe(`ab/${CHECKSUM.slice(2)}.file`);
  expect(looseObjectPath("dirtree", CHECKSUM, "archive")).toBe(`ab/${CHECKSUM.slice(2)}.dirtree`);
  for (const type of ["commit", "dirtree", "dirmeta", "file", "commitmeta"] as const) {
    for (const mode of ["archive", "bare"] as const) {
      const [directory = "", name = ""] = looseObjectPath(type, CHECKSUM, mode).split("/");
      expect(parseLooseName(directory, name, mode)).toEqual({ type, checksum: CHECKSUM });
      expect(parseLooseName(directory, `${name}.tmp`, mode)).toBeUndefined();
    }
  }
});

it("writes modified base64 as upstream does, and reads it back", () => {
  // Made with Python's base64.b64encode(..., b"+_").
  expect(modifiedBase64("fbffbf".padEnd(64, "0"))).toBe(`+_+_${"A".repeat(39)}`);
  const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(bytes, (raw) => {
      const checksum = checksumFromBytes(raw);
      expect(isChecksum(checksum)).toBe(true);
      expect(checksumToBytes(checksum)).toEqual(raw);
      expect(fromModifiedBase64(modifiedBase64(checksum))).toBe(checksum);
      expect(modifiedBase64(checksum)).toBe(
        Buffer.from(raw).toString("base64").replaceAll("/", "_").replaceAll("=", ""),
      );
    }),
  );
  for (const bad of ["", "A".repeat(42), `${"A".repeat(42)}B`, `${"A".repeat(42)}!`]) {
    expect(() => fromModifiedBase64(bad)).toThrow(OstreeNameError);
  }
});

it("orders names by their bytes", () => {
  const utf8 = (s: string) => Buffer.from(s, "utf8");
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "grapheme" }).filter((s) => s.isWellFormed())), (names) => {
      expect(names.toSorted(compareNames)).toEqual(names.toSorted((a, b) => utf8(a).compare(utf8(b))));
    }),
  );
  // U+FFEE is above a surrogate in UTF-16 and below U+1F600 in UTF-8.
  expect(compareNames("\uffee", "\u{1f600}")).toBeLessThan(0);
});

it("gives every key once, in an order of its own", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 8 }), { maxLength: 80 }), (keys) => {
      const ordered = glibHashOrder(keys);
      expect(ordered.toSorted()).toEqual([...new Set(keys)].toSorted());
    }),
  );
  // As glib 2.74 gives them; test/ compares with upstream at many sizes.
  expect(glibHashOrder(["ostree.ref-binding", "ostree.bootable", "ostree.linux"])).toEqual([
    "ostree.linux",
    "ostree.bootable",
    "ostree.ref-binding",
  ]);
});
