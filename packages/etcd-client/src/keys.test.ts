import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EtcdError } from "./errors.ts";
import { compareBytes, leaseHex, prefixEnd, toBytes, toWireRange } from "./keys.ts";

const bytes = (...b: number[]): Uint8Array => new Uint8Array(b);

describe("prefixEnd", () => {
  it.each([
    [bytes(1), bytes(2)],
    [bytes(1, 0xff), bytes(2)],
    [bytes(0xff, 0xff), bytes(0)],
    [toBytes("a/"), toBytes("a0")],
  ])("%j ends at %j", (prefix, end) => expect(prefixEnd(prefix)).toEqual(end));

  it("holds exactly the keys with the prefix", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 4 }),
        fc.uint8Array({ minLength: 1, maxLength: 5 }),
        (p, k) => {
          const end = prefixEnd(p);
          const open = end.length === 1 && end[0] === 0;
          const inRange = compareBytes(k, p) >= 0 && (open || compareBytes(k, end) < 0);
          expect(inRange).toBe(compareBytes(k.subarray(0, p.length), p) === 0);
        },
      ),
    );
  });
});

describe("toWireRange", () => {
  it.each([
    [{ prefix: "" }, { key: bytes(0), rangeEnd: bytes(0) }],
    [{ prefix: "a" }, { key: toBytes("a"), rangeEnd: toBytes("b") }],
    [{ from: "a" }, { key: toBytes("a"), rangeEnd: bytes(0) }],
    [
      { from: "a", to: "c" },
      { key: toBytes("a"), rangeEnd: toBytes("c") },
    ],
    [{ key: "a" }, { key: toBytes("a"), rangeEnd: bytes() }],
  ])("%j", (range, want) => expect(toWireRange(range)).toEqual(want));

  it("refuses an empty key with upstream's text", () => {
    expect(() => toWireRange({ key: "" })).toThrow("etcdserver: key is not provided");
    expect(() => toWireRange({ key: "" })).toThrow(EtcdError);
  });
});

it("writes lease ids as clientv3's recipes do", () => {
  expect(leaseHex(0x694d7a1b2c3d4e5fn)).toBe("694d7a1b2c3d4e5f");
  expect(leaseHex(10n)).toBe("a");
});
