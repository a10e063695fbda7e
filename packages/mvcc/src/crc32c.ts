/** CRC-32C (Castagnoli), reflected, as in iSCSI and etcd. Sliced by eight: eight tables of 256. */
const TABLES = makeTables();

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
  const t = TABLES;
  const b = bytes;
  let c = ~crc;
  let i = from;
  for (const last = to - 8; i <= last; i += 8) {
    const lo = c ^ (at(b, i) | (at(b, i + 1) << 8) | (at(b, i + 2) << 16) | (at(b, i + 3) << 24));
    c =
      at(t, 1792 + (lo & 0xff)) ^
      at(t, 1536 + ((lo >>> 8) & 0xff)) ^
      at(t, 1280 + ((lo >>> 16) & 0xff)) ^
      at(t, 1024 + (lo >>> 24)) ^
      at(t, 768 + at(b, i + 4)) ^
      at(t, 512 + at(b, i + 5)) ^
      at(t, 256 + at(b, i + 6)) ^
      at(t, at(b, i + 7));
  }
  for (; i < to; i++) c = (c >>> 8) ^ at(t, (c ^ at(b, i)) & 0xff);
  return ~c >>> 0;
}

function at(array: ArrayLike<number>, i: number): number {
  return array[i] as number;
}
