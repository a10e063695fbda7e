import fc from "fast-check";
import { expect, it } from "vitest";
import { seal, unseal } from "./checksum.ts";

const bytes = () => fc.uint8Array({ maxLength: 40 });

it("gives back what was sealed", () => {
  fc.assert(
    fc.property(bytes(), bytes(), (key, value) => {
      expect(Buffer.compare(unseal(key, seal(key, value)), value)).toBe(0);
    }),
  );
});

it("notices any flipped bit, another key, and a value that is cut short", () => {
  fc.assert(
    fc.property(bytes(), bytes(), fc.nat(), (key, value, n) => {
      const stored = seal(key, value);
      const bit = n % (stored.length * 8);
      stored[bit >> 3] = (stored[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(() => unseal(key, stored)).toThrow(/does not match its checksum/);
    }),
  );
  expect(() => unseal(Buffer.from("b"), seal(Buffer.from("a"), Buffer.from("v")))).toThrow(/checksum/);
  expect(() => unseal(Buffer.from("a"), Buffer.from("xyz"))).toThrow(/checksum/);
});
