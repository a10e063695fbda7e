import { assert } from "@keelson/types";
import { OstreeFormatError } from "./errors.ts";
import { alignUp, offsetSizeFor, parseType, type TypeNode } from "./gvariant-type.ts";
import type { Variant, VariantValue } from "./variant.ts";

const utf8 = new TextEncoder();

/** Bytes that grow. Alignments are from the start, which is where GVariant counts from: containers are aligned themselves. */
class Writer {
  bytes = new Uint8Array(256);
  #view = new DataView(this.bytes.buffer);
  length = 0;

  reserve(more: number): DataView {
    const need = this.length + more;
    if (need > this.bytes.length) {
      const grown = new Uint8Array(Math.max(need, this.bytes.length * 2));
      grown.set(this.bytes.subarray(0, this.length));
      this.bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return this.#view;
  }

  align(to: number): void {
    const end = alignUp(this.length, to);
    this.reserve(end - this.length);
    this.length = end;
  }

  byte(value: number): void {
    this.reserve(1).setUint8(this.length++, value);
  }

  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  offset(value: number, size: number): void {
    const view = this.reserve(size);
    if (size === 1) view.setUint8(this.length, value);
    else if (size === 2) view.setUint16(this.length, value, true);
    else if (size === 4) view.setUint32(this.length, value, true);
    else view.setBigUint64(this.length, BigInt(value), true);
    this.length += size;
  }
}

/** The normal form of `value` as `type`, little-endian. @throws {OstreeFormatError} when the value is not of the type */
export function encodeVariant(type: string, value: VariantValue): Uint8Array {
  const writer = new Writer();
  write(writer, parseType(type), value, 0);
  return writer.bytes.slice(0, writer.length);
}

function mismatch(node: TypeNode, value: unknown): OstreeFormatError {
  return new OstreeFormatError(`value is not of GVariant type ${node.text}`, { type: node.text, is: typeof value });
}

function write(w: Writer, node: TypeNode, value: VariantValue, depth: number): void {
  if (depth > 64) throw new OstreeFormatError("GVariant value is nested too deeply");
  switch (node.kind) {
    case "basic":
      return writeBasic(w, node, value);
    case "variant":
      return writeInner(w, node, value, depth);
    case "maybe":
      return writeMaybe(w, node, value, depth);
    case "array":
      return writeArray(w, node, value, depth);
    case "tuple":
      return writeTuple(w, node, value, depth);
  }
}

const RANGES: Readonly<Record<string, readonly [min: number, max: number]>> = {
  y: [0, 0xff],
  n: [-0x8000, 0x7fff],
  q: [0, 0xffff],
  i: [-0x8000_0000, 0x7fff_ffff],
  h: [-0x8000_0000, 0x7fff_ffff],
  u: [0, 0xffff_ffff],
};

function writeBasic(w: Writer, node: TypeNode, value: VariantValue): void {
  const type = node.text;
  if (type === "s" || type === "o" || type === "g") {
    if (typeof value !== "string" || value.includes("\0")) throw mismatch(node, value);
    const bytes = utf8.encode(value);
    w.raw(bytes);
    w.byte(0);
    return;
  }
  const view = w.reserve(node.fixed);
  const at = w.length;
  if (type === "b") {
    if (typeof value !== "boolean") throw mismatch(node, value);
    view.setUint8(at, value ? 1 : 0);
  } else if (type === "x" || type === "t") {
    const signed = type === "x";
    if (typeof value !== "bigint" || value !== (signed ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value))) {
      throw mismatch(node, value);
    }
    if (signed) view.setBigInt64(at, value, true);
    else view.setBigUint64(at, value, true);
  } else if (type === "d") {
    if (typeof value !== "number") throw mismatch(node, value);
    view.setFloat64(at, value, true);
  } else {
    const range = RANGES[type];
    assert(range !== undefined, "a basic type is known", { type });
    if (typeof value !== "number" || !Number.isInteger(value) || value < range[0] || value > range[1]) {
      throw mismatch(node, value);
    }
    if (node.fixed === 1) view.setUint8(at, value);
    else if (node.fixed === 2) view.setUint16(at, value & 0xffff, true);
    else view.setUint32(at, value >>> 0, true);
  }
  w.length += node.fixed;
}

/** Whether a value is a {@link Variant}. */
export function isVariant(value: unknown): value is Variant {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array) &&
    "type" in value
  );
}

function writeInner(w: Writer, node: TypeNode, value: VariantValue, depth: number): void {
  if (!isVariant(value)) throw mismatch(node, value);
  w.align(8);
  write(w, parseType(value.type), value.value, depth + 1);
  w.byte(0);
  w.raw(utf8.encode(value.type));
}

function writeMaybe(w: Writer, node: TypeNode, value: VariantValue, depth: number): void {
  const child = node.children[0] as TypeNode;
  w.align(node.align);
  if (value === null) return;
  write(w, child, value, depth + 1);
  if (child.fixed === 0) w.byte(0);
}

function writeArray(w: Writer, node: TypeNode, value: VariantValue, depth: number): void {
  const child = node.children[0] as TypeNode;
  w.align(node.align);
  if (child.text === "y") {
    if (!(value instanceof Uint8Array)) throw mismatch(node, value);
    return w.raw(value);
  }
  if (!Array.isArray(value)) throw mismatch(node, value);
  const start = w.length;
  const ends: number[] = [];
  for (const item of value as readonly VariantValue[]) {
    w.align(child.align);
    write(w, child, item, depth + 1);
    ends.push(w.length - start);
  }
  if (child.fixed > 0) return;
  const size = offsetSizeFor(w.length - start, ends.length);
  for (const end of ends) w.offset(end, size);
}

function writeTuple(w: Writer, node: TypeNode, value: VariantValue, depth: number): void {
  if (!Array.isArray(value) || value.length !== node.children.length) throw mismatch(node, value);
  w.align(node.align);
  const start = w.length;
  const ends: number[] = [];
  for (const [i, child] of node.children.entries()) {
    w.align(child.align);
    write(w, child, (value as readonly VariantValue[])[i] as VariantValue, depth + 1);
    if (child.fixed === 0 && i < node.children.length - 1) ends.push(w.length - start);
  }
  if (node.fixed > 0) {
    const end = start + node.fixed;
    w.reserve(end - w.length);
    w.length = end;
    return;
  }
  const size = offsetSizeFor(w.length - start, ends.length);
  for (const end of ends.toReversed()) w.offset(end, size);
}
