import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DurableDisk, SECTOR_BYTES, WriteCache } from "./write-cache.ts";

const SECTORS = 4096;

class MemoryDisk implements DurableDisk {
  readonly bytes: Uint8Array = new Uint8Array(SECTORS * SECTOR_BYTES);
  read(offset: number, length: number): Uint8Array {
    return this.bytes.slice(offset, offset + length);
  }
  write(offset: number, data: Uint8Array): void {
    this.bytes.set(data, offset);
  }
}

const write = fc.record({
  kind: fc.constant("write" as const),
  sector: fc.nat(SECTORS - 9),
  count: fc.integer({ min: 1, max: 8 }),
  byte: fc.integer({ min: 1, max: 255 }),
});
const steps = fc.array(fc.oneof({ weight: 8, arbitrary: write }, fc.constant({ kind: "flush" as const })), {
  maxLength: 40,
});

/** What writes leave on a disk without a cache. */
function apply(bytes: Uint8Array, step: { sector: number; count: number; byte: number }): void {
  bytes.fill(step.byte, step.sector * SECTOR_BYTES, (step.sector + step.count) * SECTOR_BYTES);
}

describe("a volatile write cache", () => {
  it("shows every write at once, whatever was flushed, and however little it may hold", () => {
    fc.assert(
      fc.property(steps, fc.constantFrom(1000, 10_000, 1e9), (all, bytesMax) => {
        const cache = new WriteCache(new MemoryDisk(), bytesMax);
        const want = new Uint8Array(SECTORS * SECTOR_BYTES);
        for (const step of all) {
          if (step.kind === "flush") cache.flush();
          else {
            apply(want, step);
            cache.write(step.sector * SECTOR_BYTES, new Uint8Array(step.count * SECTOR_BYTES).fill(step.byte));
          }
        }
        expect(Buffer.compare(cache.read(0, want.length), want)).toBe(0);
        expect(Buffer.compare(cache.read(513, 70_000), want.slice(513, 70_513))).toBe(0);
      }),
    );
  });

  it("keeps what was flushed through a cut, and of the rest what it says", () => {
    fc.assert(
      fc.property(
        steps,
        fc.constantFrom("keep" as const, "lose" as const, "some" as const),
        fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
        (all, unflushed, numbers) => {
          const disk = new MemoryDisk();
          const cache = new WriteCache(disk, 1e9);
          const flushed = new Uint8Array(SECTORS * SECTOR_BYTES);
          const seen = new Uint8Array(SECTORS * SECTOR_BYTES);
          let since: { sector: number; count: number; byte: number }[] = [];
          for (const step of all) {
            if (step.kind === "flush") {
              cache.flush();
              flushed.set(seen);
              since = [];
            } else {
              apply(seen, step);
              since.push(step);
              cache.write(step.sector * SECTOR_BYTES, new Uint8Array(step.count * SECTOR_BYTES).fill(step.byte));
            }
          }
          const report = cache.cut(unflushed, () => numbers.next().value ?? 0);
          expect(report.unflushedWrites).toBe(since.length);
          const exact = { lose: flushed, keep: seen, some: disk.bytes }[unflushed];
          expect(Buffer.compare(disk.bytes, exact)).toBe(0);
          // Each sector is as the last flush left it, or as one of the writes since then did.
          for (let sector = 0; sector < SECTORS; sector++) {
            const value = disk.bytes[sector * SECTOR_BYTES];
            const may = since.filter((w) => sector >= w.sector && sector < w.sector + w.count).map((w) => w.byte);
            if (![flushed[sector * SECTOR_BYTES], ...may].includes(value))
              throw new Error(`sector ${sector}: ${value}`);
          }
          expect(cache.unflushedWrites).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("tears some writes and loses some, by chance", () => {
    const disk = new MemoryDisk();
    const cache = new WriteCache(disk, 1e9);
    for (let i = 0; i < 300; i++) cache.write(i * 4096, new Uint8Array(4096).fill(1));
    let state = 1;
    const random = () => {
      state = (state * 48_271) % 2_147_483_647;
      return state / 2_147_483_647;
    };
    const report = cache.cut("some", random);
    expect(report.unflushedWrites).toBe(300);
    expect(report.lostWrites).toBeGreaterThan(60);
    expect(report.tornWrites).toBeGreaterThan(60);
    expect(report.lostWrites + report.tornWrites).toBeLessThan(250);
  });
});
