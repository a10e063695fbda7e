import type { ConfState, Snapshot } from "../../src/index.ts";

/** FNV-1a of some bytes on top of an earlier hash. */
export function fnv(seed: number, data: Uint8Array): number {
  let h = (seed ^ 0x811c9dc5) >>> 0;
  for (const byte of data) h = Math.imul(h ^ byte, 0x01000193) >>> 0;
  return h;
}

/** The application: a hash over everything it was given, which differs if anything differs. */
export class StateMachine {
  index: number;
  hash: number;
  confState: ConfState;

  constructor(snap: Snapshot) {
    this.index = snap.metadata.index;
    this.confState = snap.metadata.confState;
    this.hash = snap.data.length === 4 ? new DataView(snap.data.buffer, snap.data.byteOffset, 4).getUint32(0) : 0;
  }

  apply(index: number, data: Uint8Array): void {
    this.index = index;
    this.hash = fnv(Math.imul(this.hash, 31) + index, data);
  }

  /** The state as snapshot data. */
  data(): Uint8Array {
    const out = new Uint8Array(4);
    new DataView(out.buffer).setUint32(0, this.hash);
    return out;
  }
}
