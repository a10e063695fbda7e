/**
 * Decompresses a Snappy block (format_description.txt of google/snappy), as LevelDB's tables hold them. Returns undefined when it
 * is malformed or larger than `bytesMax`.
 */
export function unsnappy(data: Uint8Array, bytesMax: number): Uint8Array | undefined {
  const size = readVarint(data, 0);
  if (size === undefined || size.value > bytesMax) return undefined;
  const out = new Uint8Array(size.value);
  let at = size.next;
  let written = 0;
  while (at < data.length) {
    const tag = readTag(data, at);
    if (tag === undefined || written + tag.length > out.length) return undefined;
    at = tag.next;
    if (tag.offset === undefined) {
      if (at + tag.length > data.length) return undefined;
      out.set(data.subarray(at, at + tag.length), written);
      at += tag.length;
      written += tag.length;
      continue;
    }
    if (tag.offset === 0 || tag.offset > written) return undefined;
    // Byte by byte: a copy may overlap what it writes.
    for (let i = 0; i < tag.length; i++, written++) out[written] = out[written - tag.offset] as number;
  }
  return written === out.length ? out : undefined;
}

interface Tag {
  readonly length: number;
  /** How far back to copy from; undefined for literal bytes, which follow. */
  readonly offset: number | undefined;
  readonly next: number;
}

function readTag(data: Uint8Array, at: number): Tag | undefined {
  const tag = data[at] as number;
  const high = tag >>> 2;
  if ((tag & 3) === 0) {
    if (high < 60) return { length: high + 1, offset: undefined, next: at + 1 };
    const extra = high - 59;
    const length = readLittle(data, at + 1, extra);
    return length === undefined ? undefined : { length: length + 1, offset: undefined, next: at + 1 + extra };
  }
  const bytes = (tag & 3) === 3 ? 4 : tag & 3;
  const low = readLittle(data, at + 1, bytes);
  if (low === undefined) return undefined;
  if ((tag & 3) === 1) return { length: (high & 7) + 4, offset: ((tag >>> 5) << 8) | low, next: at + 2 };
  return { length: high + 1, offset: low, next: at + 1 + bytes };
}

function readLittle(data: Uint8Array, at: number, bytes: number): number | undefined {
  if (at + bytes > data.length) return undefined;
  let value = 0;
  for (let i = bytes - 1; i >= 0; i--) value = value * 256 + (data[at + i] as number);
  return value;
}

/** Reads an unsigned LEB128 integer of at most 53 bits. */
export function readVarint(
  data: Uint8Array,
  at: number,
): { readonly value: number; readonly next: number } | undefined {
  let value = 0;
  for (let i = 0, factor = 1; i < 8; i++, factor *= 128) {
    const byte = data[at + i];
    if (byte === undefined) return undefined;
    value += (byte & 127) * factor;
    if (byte < 128) return { value, next: at + i + 1 };
  }
  return undefined;
}
