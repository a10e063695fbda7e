const ESCAPES: Readonly<Record<number, string>> = {
  7: "\\a",
  8: "\\b",
  9: "\\t",
  10: "\\n",
  11: "\\v",
  12: "\\f",
  13: "\\r",
  34: '\\"',
  92: "\\\\",
};

/** Bytes as a double-quoted string in Go's notation (`%q`): printable UTF-8 as it is, the rest escaped. */
export function quoteBytes(data: Uint8Array): string {
  let s = "";
  for (let i = 0; i < data.length; ) {
    const byte = data[i] as number;
    if (byte < 0x80) {
      s += ESCAPES[byte] ?? (byte < 0x20 || byte === 0x7f ? `\\x${hex(byte, 2)}` : String.fromCharCode(byte));
      i++;
      continue;
    }
    const [rune, length] = decodeRune(data, i);
    if (rune === undefined) {
      s += `\\x${hex(byte, 2)}`;
    } else {
      const text = String.fromCodePoint(rune);
      // What Go prints: letters, marks, numbers, punctuation, symbols. Of the spaces only U+0020.
      if (/^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(text)) s += text;
      else s += rune > 0xffff ? `\\U${hex(rune, 8)}` : `\\u${hex(rune, 4)}`;
    }
    i += length;
  }
  return `"${s}"`;
}

/** The code point that starts at `i`, or undefined for one byte that starts none. */
function decodeRune(data: Uint8Array, i: number): [number | undefined, number] {
  const lead = data[i] as number;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || i + length > data.length) return [undefined, 1];
  let rune = lead & (0xff >> (length + 1));
  for (let k = 1; k < length; k++) {
    const next = data[i + k] as number;
    if ((next & 0xc0) !== 0x80) return [undefined, 1];
    rune = rune * 64 + (next & 0x3f);
  }
  const overlong = rune < (length === 4 ? 0x1_0000 : length === 3 ? 0x800 : 0x80);
  const surrogate = rune >= 0xd800 && rune <= 0xdfff;
  return overlong || surrogate || rune > 0x10_ffff ? [undefined, 1] : [rune, length];
}

function hex(n: number, width: number): string {
  return n.toString(16).padStart(width, "0");
}
