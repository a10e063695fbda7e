const TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  let c = i;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c >>> 0;
});

/** CRC-32 (IEEE 802.3, as zlib, GPT and busybox's `crc32`). Unsigned. Pure. */
export function crc32(bytes: Uint8Array): number {
  let c = ~0;
  for (const byte of bytes) c = (c >>> 8) ^ (TABLE[(c ^ byte) & 0xff] as number);
  return ~c >>> 0;
}
