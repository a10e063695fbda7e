/** CRC-32C (Castagnoli), reflected, as in iSCSI and etcd. Sliced by eight: eight tables of 256. */
const TABLES = Int32Array.from(makeTables());

function makeTables(): Uint32Array {
  const t = new Uint32Array(8 * 256);
  for (let i = 0; i < 256; i++) {
    let c = i;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
    t[i] = c >>> 0;
  }
  for (let i = 256; i < 8 * 256; i++) {
    const before = t[i - 256] as number;
    t[i] = ((before >>> 8) ^ (t[before & 0xff] as number)) >>> 0;
  }
  return t;
}

/** Continues `crc` (0 to begin) over `bytes[from, to)`. Unsigned. */
export function crc32c(crc: number, bytes: Uint8Array, from = 0, to = bytes.length): number {
  // Locals and casts instead of a helper: this loop is a fifth of a read.
  const t = TABLES;
  const b = bytes;
  let c = ~crc;
  let i = from;
  for (const last = to - 8; i <= last; i += 8) {
    const lo =
      c ^
      ((b[i] as number) | ((b[i + 1] as number) << 8) | ((b[i + 2] as number) << 16) | ((b[i + 3] as number) << 24));
    c =
      (t[1792 + (lo & 0xff)] as number) ^
      (t[1536 + ((lo >>> 8) & 0xff)] as number) ^
      (t[1280 + ((lo >>> 16) & 0xff)] as number) ^
      (t[1024 + (lo >>> 24)] as number) ^
      (t[768 + (b[i + 4] as number)] as number) ^
      (t[512 + (b[i + 5] as number)] as number) ^
      (t[256 + (b[i + 6] as number)] as number) ^
      (t[b[i + 7] as number] as number);
  }
  for (; i < to; i++) c = (c >>> 8) ^ (t[(c ^ (b[i] as number)) & 0xff] as number);
  return ~c >>> 0;
}
