import { crc32c } from "@keelson/types";
import fc from "fast-check";
import { expect, it } from "vitest";
import { checkLog, readRecords } from "./check-log.ts";
import { unmaskCrc } from "./mask-crc.ts";

const BLOCK = 32 * 1024;

function maskCrc(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Writes records as LevelDB's log writer does (db/log_writer.cc). */
function writeLog(records: readonly Uint8Array[]): Buffer {
  const out: Buffer[] = [];
  let size = 0;
  const push = (part: Buffer) => {
    out.push(part);
    size += part.length;
  };
  for (const record of records) {
    for (let at = 0, first = true; first || at < record.length; first = false) {
      const left = BLOCK - (size % BLOCK);
      if (left < 7) {
        push(Buffer.alloc(left));
        first = at === 0;
        if (at > 0) first = false;
        continue;
      }
      const part = record.subarray(at, at + left - 7);
      const isLast = at + part.length === record.length;
      const type = at === 0 ? (isLast ? 1 : 2) : isLast ? 4 : 3;
      const header = Buffer.alloc(7);
      header.writeUInt16LE(part.length, 4);
      header[6] = type;
      header.writeUInt32LE(maskCrc(crc32c(0, Buffer.concat([Buffer.from([type]), part]))), 0);
      push(Buffer.concat([header, part]));
      at += part.length;
      if (isLast) break;
    }
  }
  return Buffer.concat(out);
}

const sample = writeLog([10, 3_000, 70_000, 5, 32_761, 4_000, 90].map((n, i) => new Uint8Array(n).fill(i + 97)));

it("knows CRC-32C and its mask", () => {
  // The check value of the algorithm, and RFC 3720 B.4.
  expect(crc32c(0, Buffer.from("123456789"))).toBe(0xe3069283);
  expect(crc32c(0, new Uint8Array(32))).toBe(0x8a9136aa);
  expect(unmaskCrc(maskCrc(0x12345678))).toBe(0x12345678);
});

it("accepts whole logs and gives their records back", () => {
  expect(checkLog(new Uint8Array(0))).toEqual({ state: "whole" });
  expect(checkLog(sample)).toEqual({ state: "whole" });
  expect([...readRecords(sample)].map((r) => r.length)).toEqual([10, 3_000, 70_000, 5, 32_761, 4_000, 90]);
});

it("takes a log cut at any byte for torn or whole, never for damaged", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: sample.length }), (length) => {
      expect(checkLog(sample.subarray(0, length)).state).not.toBe("damaged");
    }),
    { numRuns: 300 },
  );
});

it("takes unwritten sectors at the end for torn", () => {
  const torn = Buffer.from(sample);
  torn.fill(0, torn.length - 3_000);
  expect(checkLog(torn).state).toBe("torn");
});

it("takes any flipped bit for damage", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: sample.length * 8 - 1 }), (bit) => {
      const flipped = Buffer.from(sample);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(checkLog(flipped).state).toBe("damaged");
    }),
    { numRuns: 300 },
  );
});
