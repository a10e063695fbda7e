/**
 * A hash of which puts are alive, kept up to date in O(1) per change: the sum of a mix of their checksums. Order does not
 * matter, so it can be rebuilt from a scan in any order, and a compaction does not change it.
 */
export class StateHash {
  low = 0;
  high = 0;

  add(crc: number): void {
    this.low = (this.low + mix(crc, 0x85ebca6b)) >>> 0;
    this.high = (this.high + mix(crc ^ 0x5bd1e995, 0xc2b2ae35)) >>> 0;
  }

  remove(crc: number): void {
    this.low = (this.low - mix(crc, 0x85ebca6b)) >>> 0;
    this.high = (this.high - mix(crc ^ 0x5bd1e995, 0xc2b2ae35)) >>> 0;
  }

  /** 16 hex digits. */
  toString(): string {
    return this.high.toString(16).padStart(8, "0") + this.low.toString(16).padStart(8, "0");
  }
}

/** An avalanche in the manner of murmur3's finaliser. */
function mix(x: number, multiplier: number): number {
  let h = x ^ (x >>> 16);
  h = Math.imul(h, multiplier);
  h ^= h >>> 13;
  h = Math.imul(h, 0x27d4eb2f);
  return (h ^ (h >>> 16)) >>> 0;
}
