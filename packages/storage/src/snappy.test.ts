import fc from "fast-check";
import { expect, it } from "vitest";
import { readVarint, unsnappy } from "./snappy.ts";

const text = (data: Uint8Array | undefined) => data && Buffer.from(data).toString();

it("copies literals and back-references, overlapping ones too", () => {
  // "abcd" literal, then a copy of 6 from 4 back (1-byte offset form), then 2 bytes from 10 back (2-byte form).
  const data = Buffer.from([12, (4 - 1) << 2, 97, 98, 99, 100, ((6 - 4) << 2) | 1, 4, ((2 - 1) << 2) | 2, 10, 0]);
  expect(text(unsnappy(data, 100))).toBe("abcdabcdabab");
  const long = Buffer.concat([Buffer.from([200, 1, 60 << 2, 199]), Buffer.alloc(200, "x")]);
  expect(unsnappy(long, 1_000)).toHaveLength(200);
});

it("refuses what is malformed and what is too large, whatever the bytes", () => {
  expect(unsnappy(Buffer.from([5, 0]), 100)).toBeUndefined();
  expect(unsnappy(Buffer.from([200, 1, 60 << 2, 199]), 100)).toBeUndefined();
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (data) => (unsnappy(data, 1_000)?.length ?? 0) <= 1_000));
});

it("reads varints", () => {
  expect(readVarint(Buffer.from([0xac, 0x02]), 0)).toEqual({ value: 300, next: 2 });
  expect(readVarint(Buffer.from([0x80]), 0)).toBeUndefined();
});
