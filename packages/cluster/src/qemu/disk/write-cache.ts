import type { PowerCutReport } from "../../port.ts";

export const SECTOR_BYTES = 512;
/** Writes are found by the parts of the disk they touch, so that a read need not look at all of them. */
const PART_BYTES = 1 << 20;

/** What the cache lies on: a disk whose writes last. */
export interface DurableDisk {
  read(offset: number, length: number): Uint8Array;
  write(offset: number, data: Uint8Array): void;
}

/**
 * What becomes of each write that was not flushed when the power is cut. `some`: chance decides for each whether it was
 * written, lost, or torn (some of its sectors written), which is what disks may do, in any order.
 */
export type Unflushed = "keep" | "lose" | "some";

interface Write {
  readonly offset: number;
  readonly data: Uint8Array;
}

/**
 * The volatile write cache of a disk: writes are seen by reads at once and last only from the next flush on. What waits is
 * bounded; the oldest write is made to last when it is too much, as a disk may do at any time. No I/O of its own.
 */
export class WriteCache {
  readonly #disk: DurableDisk;
  readonly #bytesMax: number;
  #bytes = 0;
  /** In the order they came. */
  readonly #writes = new Set<Write>();
  readonly #parts = new Map<number, Set<Write>>();

  constructor(disk: DurableDisk, bytesMax: number) {
    this.#disk = disk;
    this.#bytesMax = bytesMax;
  }

  get unflushedWrites(): number {
    return this.#writes.size;
  }

  read(offset: number, length: number): Uint8Array {
    const out = this.#disk.read(offset, length);
    for (const write of this.#touching(offset, length)) {
      const from = Math.max(offset, write.offset);
      const to = Math.min(offset + length, write.offset + write.data.length);
      if (from < to) out.set(write.data.subarray(from - write.offset, to - write.offset), from - offset);
    }
    return out;
  }

  /** Keeps `data`, which must not change afterwards. */
  write(offset: number, data: Uint8Array): void {
    const write = { offset, data };
    this.#writes.add(write);
    for (const part of partsOf(offset, data.length)) {
      const there = this.#parts.get(part);
      if (there === undefined) this.#parts.set(part, new Set([write]));
      else there.add(write);
    }
    this.#bytes += data.length;
    for (const oldest of this.#writes) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#disk.write(oldest.offset, oldest.data);
      this.#forget(oldest);
    }
  }

  /** Makes everything last. */
  flush(): void {
    for (const { offset, data } of this.#writes) this.#disk.write(offset, data);
    this.#clear();
  }

  /** Cuts the power. `random` gives numbers from 0 up to 1. */
  cut(unflushed: Unflushed, random: () => number): PowerCutReport {
    const unflushedWrites = this.#writes.size;
    let lostWrites = 0;
    let tornWrites = 0;
    for (const { offset, data } of this.#writes) {
      const fate = unflushed === "keep" ? 1 : unflushed === "lose" ? 0 : random();
      if (fate < 1 / 3) {
        lostWrites++;
      } else if (fate < 2 / 3 && data.length > SECTOR_BYTES) {
        tornWrites++;
        for (let at = 0; at < data.length; at += SECTOR_BYTES) {
          if (random() < 0.5) this.#disk.write(offset + at, data.subarray(at, at + SECTOR_BYTES));
        }
      } else {
        this.#disk.write(offset, data);
      }
    }
    this.#clear();
    return { unflushedWrites, lostWrites, tornWrites };
  }

  /** Oldest first, so that the newest is what is seen. */
  #touching(offset: number, length: number): Iterable<Write> {
    const parts = partsOf(offset, length).flatMap((part) => this.#parts.get(part) ?? []);
    const [first, ...more] = parts;
    if (first === undefined || more.length === 0) return first ?? [];
    const found = new Set(parts.flatMap((set) => [...set]));
    return [...this.#writes].filter((write) => found.has(write));
  }

  #forget(write: Write): void {
    this.#writes.delete(write);
    this.#bytes -= write.data.length;
    for (const part of partsOf(write.offset, write.data.length)) {
      const there = this.#parts.get(part);
      there?.delete(write);
      if (there?.size === 0) this.#parts.delete(part);
    }
  }

  #clear(): void {
    this.#writes.clear();
    this.#parts.clear();
    this.#bytes = 0;
  }
}

function partsOf(offset: number, length: number): number[] {
  const first = Math.floor(offset / PART_BYTES);
  const last = Math.floor((offset + Math.max(length, 1) - 1) / PART_BYTES);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
