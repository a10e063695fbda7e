import { OstreeFormatError } from "./errors.ts";

/** Deeper types are refused: nothing of OSTree's needs more than six. */
const DEPTH_MAX = 32;
/** Longer type strings are refused. */
const TYPE_CHARS_MAX = 255;

/** A parsed GVariant type. */
export interface TypeNode {
  readonly kind: "basic" | "variant" | "maybe" | "array" | "tuple";
  /** The type's own string. */
  readonly text: string;
  /** 1, 2, 4 or 8. */
  readonly align: number;
  /** Bytes of a fixed-size type; 0 when the size varies. */
  readonly fixed: number;
  /** Of arrays and maybes the one element; of tuples and dictionary entries the members. */
  readonly children: readonly TypeNode[];
}

const BASIC_SIZES: Readonly<Record<string, number>> = {
  b: 1,
  y: 1,
  n: 2,
  q: 2,
  i: 4,
  u: 4,
  h: 4,
  x: 8,
  t: 8,
  d: 8,
  s: 0,
  o: 0,
  g: 0,
};

const cache = new Map<string, TypeNode>();
/** Types come from data too: the cache must not grow with them. */
const CACHE_MAX = 256;

/** Parses a single complete type. @throws {OstreeFormatError} */
export function parseType(text: string): TypeNode {
  const known = cache.get(text);
  if (known !== undefined) return known;
  if (text.length > TYPE_CHARS_MAX) throw new OstreeFormatError("GVariant type is too long", { chars: text.length });
  const { node, next } = parseAt(text, 0, 0);
  if (next !== text.length) throw badType(text, next);
  if (cache.size < CACHE_MAX) cache.set(text, node);
  return node;
}

function badType(text: string, at: number): OstreeFormatError {
  return new OstreeFormatError(`not a GVariant type: ${JSON.stringify(text)}`, { at });
}

function parseAt(text: string, at: number, depth: number): { node: TypeNode; next: number } {
  if (depth > DEPTH_MAX) throw new OstreeFormatError("GVariant type is nested too deeply", { limit: DEPTH_MAX });
  const c = text[at] ?? "";
  const size = Object.hasOwn(BASIC_SIZES, c) ? BASIC_SIZES[c] : undefined;
  if (size !== undefined) {
    return { node: { kind: "basic", text: c, align: size || 1, fixed: size, children: [] }, next: at + 1 };
  }
  if (c === "v") return { node: { kind: "variant", text: c, align: 8, fixed: 0, children: [] }, next: at + 1 };
  if (c === "a" || c === "m") {
    const { node: child, next } = parseAt(text, at + 1, depth + 1);
    const kind = c === "a" ? "array" : "maybe";
    // Nothing and just-nothing would both be null here.
    if (kind === "maybe" && child.kind === "maybe") throw new OstreeFormatError("a maybe of a maybe is not supported");
    return { node: { kind, text: text.slice(at, next), align: child.align, fixed: 0, children: [child] }, next };
  }
  if (c === "(" || c === "{") return parseTuple(text, at, depth);
  throw badType(text, at);
}

function parseTuple(text: string, at: number, depth: number): { node: TypeNode; next: number } {
  const entry = text[at] === "{";
  const close = entry ? "}" : ")";
  const children: TypeNode[] = [];
  let next = at + 1;
  while (text[next] !== close) {
    const member = parseAt(text, next, depth + 1);
    children.push(member.node);
    next = member.next;
  }
  if (entry && (children.length !== 2 || children[0]?.kind !== "basic")) throw badType(text, at);
  const align = children.reduce((max, child) => Math.max(max, child.align), 1);
  return {
    node: { kind: "tuple", text: text.slice(at, next + 1), align, fixed: fixedSize(children, align), children },
    next: next + 1,
  };
}

function fixedSize(children: readonly TypeNode[], align: number): number {
  let size = 0;
  for (const child of children) {
    if (child.fixed === 0) return 0;
    size = alignUp(size, child.align) + child.fixed;
  }
  // The unit tuple is one zero byte.
  return children.length === 0 ? 1 : alignUp(size, align);
}

/** The smallest multiple of `align` that is not below `offset`. */
export function alignUp(offset: number, align: number): number {
  return Math.ceil(offset / align) * align;
}

/** Bytes of each framing offset in a container of `size` bytes. */
export function offsetSize(size: number): number {
  if (size === 0) return 0;
  return size <= 0xff ? 1 : size <= 0xffff ? 2 : size <= 0xffff_ffff ? 4 : 8;
}

/** {@link offsetSize} for a container that is being written: `body` bytes and `count` offsets. */
export function offsetSizeFor(body: number, count: number): number {
  if (count === 0) return 0;
  for (const size of [1, 2, 4] as const) {
    if (body + size * count <= 2 ** (8 * size) - 1) return size;
  }
  return 8;
}
