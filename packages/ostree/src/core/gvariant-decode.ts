import { OstreeFormatError } from "./errors.ts";
import { alignUp, offsetSize, offsetSizeFor, parseType, type TypeNode } from "./gvariant-type.ts";
import type { VariantValue } from "./variant.ts";

/** Values nested deeper (by way of `v`) are refused, as glib does at 128. */
const DEPTH_MAX = 64;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

interface Source {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/**
 * Decodes bytes as `type`. Only the normal form is accepted, as upstream asks of every object: whatever decodes encodes to
 * the same bytes. Work is linear in the bytes. `ay` values are views into `bytes`. @throws {OstreeFormatError}
 */
export function decodeVariant(type: string, bytes: Uint8Array): VariantValue {
  const source = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
  return read(source, parseType(type), 0, bytes.length, 0);
}

function bad(what: string, node: TypeNode, at: number): OstreeFormatError {
  return new OstreeFormatError(`GVariant ${node.text} at byte ${at}: ${what}`, { type: node.text, at });
}

function read(s: Source, node: TypeNode, start: number, end: number, depth: number): VariantValue {
  if (depth > DEPTH_MAX) throw bad("nested too deeply", node, start);
  if (node.fixed > 0 && end - start !== node.fixed)
    throw bad(`${end - start} bytes instead of ${node.fixed}`, node, start);
  switch (node.kind) {
    case "basic":
      return readBasic(s, node, start, end);
    case "variant":
      return readInner(s, node, start, end, depth);
    case "maybe":
      return readMaybe(s, node, start, end, depth);
    case "array":
      return readArray(s, node, start, end, depth);
    case "tuple":
      return readTuple(s, node, start, end, depth);
  }
}

function readBasic(s: Source, node: TypeNode, start: number, end: number): VariantValue {
  switch (node.text) {
    case "s":
    case "o":
    case "g":
      return readString(s, node, start, end);
    case "b": {
      const byte = s.bytes[start] as number;
      if (byte > 1) throw bad("a boolean is 0 or 1", node, start);
      return byte === 1;
    }
    case "y":
      return s.bytes[start] as number;
    case "n":
      return s.view.getInt16(start, true);
    case "q":
      return s.view.getUint16(start, true);
    case "u":
      return s.view.getUint32(start, true);
    case "x":
      return s.view.getBigInt64(start, true);
    case "t":
      return s.view.getBigUint64(start, true);
    case "d":
      return readDouble(s, node, start);
    default:
      return s.view.getInt32(start, true);
  }
}

const NAN_BITS = 0x7ff8_0000_0000_0000n;

/** JavaScript does not keep which NaN it is, so that only the usual one could be written back. */
function readDouble(s: Source, node: TypeNode, start: number): number {
  const value = s.view.getFloat64(start, true);
  if (Number.isNaN(value) && s.view.getBigUint64(start, true) !== NAN_BITS) throw bad("an unusual NaN", node, start);
  return value;
}

function readString(s: Source, node: TypeNode, start: number, end: number): string {
  if (end <= start || s.bytes[end - 1] !== 0) throw bad("a string ends with a NUL", node, start);
  const body = s.bytes.subarray(start, end - 1);
  if (body.includes(0)) throw bad("a NUL inside a string", node, start);
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    throw bad("not UTF-8", node, start);
  }
  if (node.text === "o" && !/^\/(?:\w+(?:\/\w+)*)?$/.test(text)) throw bad("not an object path", node, start);
  if (node.text === "g" && !isSignature(text)) throw bad("not a signature", node, start);
  return text;
}

function isSignature(text: string): boolean {
  try {
    parseType(`(${text})`);
    return true;
  } catch {
    return false;
  }
}

function readInner(s: Source, node: TypeNode, start: number, end: number, depth: number): VariantValue {
  // The type stands after the last NUL; a type has no NUL itself.
  const nul = s.bytes.lastIndexOf(0, end - 1);
  if (end <= start || nul < start) throw bad("a variant without a type", node, start);
  const type = String.fromCharCode(...s.bytes.subarray(nul + 1, Math.min(end, nul + 1 + 300)));
  const inner = parseType(type);
  return { type, value: read(s, inner, start, nul, depth + 1) };
}

function readMaybe(s: Source, node: TypeNode, start: number, end: number, depth: number): VariantValue {
  if (end === start) return null;
  const child = node.children[0] as TypeNode;
  if (child.fixed > 0) return read(s, child, start, end, depth + 1);
  if (s.bytes[end - 1] !== 0) throw bad("a maybe ends with a NUL", node, start);
  return read(s, child, start, end - 1, depth + 1);
}

/** Reads an unsigned framing offset and makes it absolute. */
function readOffset(s: Source, at: number, size: number): number {
  if (size === 1) return s.view.getUint8(at);
  if (size === 2) return s.view.getUint16(at, true);
  if (size === 4) return s.view.getUint32(at, true);
  return Number(s.view.getBigUint64(at, true));
}

/** Skips padding, which must be zero. */
function skipPadding(s: Source, node: TypeNode, from: number, base: number, align: number): number {
  const to = base + alignUp(from - base, align);
  for (let i = from; i < to; i++) if (s.bytes[i] !== 0) throw bad("padding is not zero", node, i);
  return to;
}

function readArray(s: Source, node: TypeNode, start: number, end: number, depth: number): VariantValue {
  const child = node.children[0] as TypeNode;
  if (child.text === "y") return s.bytes.subarray(start, end);
  const items: VariantValue[] = [];
  if (child.fixed > 0) {
    if ((end - start) % child.fixed !== 0) throw bad("a piece of an element", node, start);
    for (let at = start; at < end; at += child.fixed) items.push(read(s, child, at, at + child.fixed, depth + 1));
    return items;
  }
  if (start === end) return items;
  const size = offsetSize(end - start);
  if (end - start < size) throw bad("cut short", node, start);
  const table = start + readOffset(s, end - size, size);
  if (table > end - size || (end - table) % size !== 0) throw bad("bad framing offsets", node, start);
  const count = (end - table) / size;
  let at = start;
  for (let i = 0; i < count; i++) {
    const from = skipPadding(s, node, at, start, child.align);
    const to = start + readOffset(s, table + i * size, size);
    if (to < from || to > table) throw bad("an element out of bounds", node, from);
    items.push(read(s, child, from, to, depth + 1));
    at = to;
  }
  // The last offset is where the table begins, so nothing lies between; but a wider table than needed is not normal.
  if (size !== offsetSizeFor(table - start, count)) throw bad("framing offsets are too wide", node, start);
  return items;
}

function readTuple(s: Source, node: TypeNode, start: number, end: number, depth: number): VariantValue {
  const values: VariantValue[] = [];
  const last = node.children.length - 1;
  const size = node.fixed > 0 ? 0 : offsetSize(end - start);
  let table = end;
  let at = start;
  let offsets = 0;
  for (const [i, child] of node.children.entries()) {
    const from = skipPadding(s, node, Math.min(at, end), start, child.align);
    let to: number;
    if (child.fixed > 0) to = from + child.fixed;
    else if (i === last) to = table;
    else {
      table -= size;
      offsets++;
      if (size === 0 || table < from) throw bad("cut short", node, start);
      to = start + readOffset(s, table, size);
    }
    if (to < from || to > table) throw bad("a member out of bounds", node, from);
    values.push(read(s, child, from, to, depth + 1));
    at = to;
  }
  checkTupleEnd(s, node, start, { at, table, end, size, offsets });
  return values;
}

function checkTupleEnd(
  s: Source,
  node: TypeNode,
  start: number,
  { at, table, end, size, offsets }: { at: number; table: number; end: number; size: number; offsets: number },
): void {
  if (node.fixed > 0) {
    for (let i = at; i < end; i++) if (s.bytes[i] !== 0) throw bad("padding is not zero", node, i);
    return;
  }
  if (at !== table) throw bad("bytes that belong to nothing", node, at);
  if (offsets > 0 && size !== offsetSizeFor(table - start, offsets)) {
    throw bad("framing offsets are too wide", node, start);
  }
}
