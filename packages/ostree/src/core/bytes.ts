/** Whether two runs of bytes are the same. Not for secrets: it takes less time the earlier they differ. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** All parts as one. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** OSTree writes its own integers big-endian into a little-endian GVariant. */
export function swap32(value: number): number {
  return (((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}

/** {@link swap32} for 64 bits. */
export function swap64(value: bigint): bigint {
  const low = swap32(Number(value & 0xffff_ffffn));
  const high = swap32(Number((value >> 32n) & 0xffff_ffffn));
  return (BigInt(low) << 32n) | BigInt(high);
}
