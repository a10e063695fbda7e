// Just enough of HPACK (RFC 7541) to find `:authority` in a header block and to write it anew.

/** A header block whose `:authority` was changed, or undefined when there was no need (or it cannot be read here). */
export function rewriteAuthority(block: Buffer, rewrite: (authority: string) => string): Buffer | undefined {
  let at = 0;
  while (at < block.length) {
    const first = block[at] as number;
    if ((first & 0x80) !== 0 || (first & 0xe0) === 0x20) {
      // An indexed field, or a change of the table's size: one number.
      const skipped = readInt(block, at, (first & 0x80) !== 0 ? 7 : 5);
      if (skipped === undefined) return undefined;
      at = skipped.next;
      continue;
    }
    const field = readLiteral(block, at, (first & 0xc0) === 0x40 ? 6 : 4);
    if (field === undefined) return undefined;
    if (field.isAuthority) return replaced(block, field, rewrite);
    at = field.next;
  }
  return undefined;
}

interface LiteralField {
  readonly isAuthority: boolean;
  readonly valueAt: number;
  readonly next: number;
}

const AUTHORITY_INDEX = 1;

function readLiteral(block: Buffer, at: number, prefixBits: number): LiteralField | undefined {
  const name = readInt(block, at, prefixBits);
  if (name === undefined) return undefined;
  let isAuthority = name.value === AUTHORITY_INDEX;
  let valueAt = name.next;
  if (name.value === 0) {
    const literal = readString(block, valueAt);
    if (literal === undefined) return undefined;
    isAuthority = literal.text() === ":authority";
    valueAt = literal.next;
  }
  const value = readString(block, valueAt);
  return value === undefined ? undefined : { isAuthority, valueAt, next: value.next };
}

function replaced(block: Buffer, field: LiteralField, rewrite: (authority: string) => string): Buffer | undefined {
  const before = readString(block, field.valueAt)?.text();
  if (before === undefined) return undefined;
  const after = rewrite(before);
  if (after === before) return undefined;
  const value = Buffer.from(after, "latin1");
  return Buffer.concat([
    block.subarray(0, field.valueAt),
    encodeInt(value.length, 7),
    value,
    block.subarray(field.next),
  ]);
}

/** An integer with a prefix (5.1). */
function readInt(block: Buffer, at: number, prefixBits: number): { value: number; next: number } | undefined {
  const mask = (1 << prefixBits) - 1;
  let value = (block[at] ?? 0) & mask;
  if (value < mask) return { value, next: at + 1 };
  for (let i = at + 1, shift = 0; i < block.length && shift <= 21; i++, shift += 7) {
    const byte = block[i] as number;
    value += (byte & 0x7f) << shift;
    if ((byte & 0x80) === 0) return { value, next: i + 1 };
  }
  return undefined;
}

function encodeInt(value: number, prefixBits: number): Buffer {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) return Buffer.from([value]);
  const out = [mask];
  for (let rest = value - mask; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...out, rest]);
    out.push((rest & 0x7f) | 0x80);
  }
}

/** A string (5.2). `text` is undefined when it holds what an authority never does. */
function readString(block: Buffer, at: number): { text: () => string | undefined; next: number } | undefined {
  const length = readInt(block, at, 7);
  if (length === undefined || length.next + length.value > block.length) return undefined;
  const bytes = block.subarray(length.next, length.next + length.value);
  const huffman = ((block[at] as number) & 0x80) !== 0;
  return { text: () => (huffman ? decodeHuffman(bytes) : bytes.toString("latin1")), next: length.next + length.value };
}

// The code of appendix B is canonical: the lengths, in the order of the symbols, determine it. Symbols not named here have
// codes longer than 15 bits.
const LENGTHS: readonly (readonly [bits: number, symbols: string])[] = [
  [5, "012aceiost"],
  [6, " %-./3456789=A_bdfghlmnpru"],
  [7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"],
  [8, "&*,;XZ"],
  [10, '!"()?'],
  [11, "'+|"],
  [12, "#>"],
  [13, "\0$@[]~"],
  [14, "^}"],
  [15, "<`{"],
];

const CODES = canonicalCodes();

function canonicalCodes(): ReadonlyMap<string, string> {
  const codes = new Map<string, string>();
  let code = 0;
  let bits = 0;
  for (const [length, symbols] of LENGTHS) {
    code <<= length - bits;
    bits = length;
    for (const symbol of symbols) {
      codes.set(code.toString(2).padStart(length, "0"), symbol);
      code++;
    }
  }
  return codes;
}

/** The text, or undefined when a symbol has a longer code than any that an authority needs. */
export function decodeHuffman(bytes: Uint8Array): string | undefined {
  let out = "";
  let pending = "";
  for (const byte of bytes) {
    for (const bit of byte.toString(2).padStart(8, "0")) {
      pending += bit;
      const symbol = CODES.get(pending);
      if (symbol !== undefined) {
        out += symbol;
        pending = "";
      } else if (pending.length > 15) return undefined;
    }
  }
  // What is left must be padding: fewer than eight ones.
  return /^1{0,7}$/.test(pending) ? out : undefined;
}
