import { BLOCK, textToBytes } from "../tar/header.ts";

/** An entry to be written. Names are bytes as Latin-1. */
export interface MadeEntry {
  readonly name: string;
  /** The type flag: `0` file (default), `1` hard link, `2` symlink, `3` char, `4` block, `5` directory, `6` fifo; or any other. */
  readonly type?: string;
  readonly content?: Uint8Array | string;
  readonly linkName?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly major?: number;
  readonly minor?: number;
  /** Records of an extended header before the entry. */
  readonly pax?: Readonly<Record<string, string>>;
  /** A size that differs from that of the content. */
  readonly statedSize?: number;
}

/** A tar of these entries, honest or not. Names too long for a header get GNU's long-name entries. */
export function makeTar(entries: readonly MadeEntry[], options: { readonly isEnded?: boolean } = {}): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    if (entry.pax !== undefined) parts.push(...block({ name: "pax", type: "x", content: paxRecords(entry.pax) }));
    if (entry.name.length > 100) parts.push(...block({ name: "././@LongLink", type: "L", content: `${entry.name}\0` }));
    const linkName = entry.linkName ?? "";
    if (linkName.length > 100) parts.push(...block({ name: "././@LongLink", type: "K", content: `${linkName}\0` }));
    parts.push(...block(entry));
  }
  if (options.isEnded !== false) parts.push(new Uint8Array(2 * BLOCK));
  return concat(parts);
}

/** Records as `LENGTH KEY=VALUE\n`. */
export function paxRecords(records: Readonly<Record<string, string>>): string {
  return Object.entries(records)
    .map(([key, value]) => {
      const rest = ` ${key}=${value}\n`;
      let length = rest.length + 1;
      while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
      return `${length}${rest}`;
    })
    .join("");
}

function block(entry: MadeEntry): Uint8Array[] {
  const content = typeof entry.content === "string" ? textToBytes(entry.content) : (entry.content ?? new Uint8Array(0));
  const header = new Uint8Array(BLOCK);
  const put = (offset: number, length: number, text: string) => header.set(textToBytes(text.slice(0, length)), offset);
  const octal = (offset: number, length: number, value: number) => {
    const text = value.toString(8).padStart(length - 1, "0");
    if (value >= 0 && text.length < length) put(offset, length, text);
    else base256(header.subarray(offset, offset + length), value);
  };
  put(0, 100, entry.name);
  octal(100, 8, entry.mode ?? (entry.type === "5" ? 0o755 : 0o644));
  octal(108, 8, entry.uid ?? 0);
  octal(116, 8, entry.gid ?? 0);
  octal(124, 12, entry.statedSize ?? content.length);
  octal(136, 12, entry.mtime ?? 0);
  put(156, 1, entry.type ?? "0");
  put(157, 100, entry.linkName ?? "");
  put(257, 8, "ustar\x0000");
  octal(329, 8, entry.major ?? 0);
  octal(337, 8, entry.minor ?? 0);
  put(148, 8, "        ");
  const sum = header.reduce((a, b) => a + b, 0);
  put(148, 8, `${sum.toString(8).padStart(6, "0")}\0 `);
  return [header, content, new Uint8Array((BLOCK - (content.length % BLOCK)) % BLOCK)];
}

function base256(into: Uint8Array, value: number): void {
  let rest = BigInt.asUintN(into.length * 8, BigInt(value));
  for (let i = into.length - 1; i >= 0; i--) {
    into[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  into[0] = (into[0] ?? 0) | 0x80;
}

/** Parts as one. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}
