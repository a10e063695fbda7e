import fc from "fast-check";
import { expect, it } from "vitest";
import { OstreeFormatError } from "./errors.ts";
import { decodeVariant } from "./gvariant-decode.ts";
import { encodeVariant } from "./gvariant-encode.ts";
import type { VariantValue } from "./variant.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));

// Worked out by hand from the GVariant specification; test/ compares whole objects with those of upstream.
it.each<[string, VariantValue, string]>([
  ["s", "hi", "686900"],
  ["as", ["a", "bc"], "6100626300 02 05"],
  ["ay", new Uint8Array([1, 2]), "0102"],
  ["(su)", ["x", 7], "7800 0000 07000000 02"],
  ["(uy)", [1, 2], "01000000 02 000000"],
  ["a{sv}", [["k", { type: "u", value: 5 }]], "6b00 000000000000 05000000 00 75 02 0f"],
  ["mu", null, ""],
  ["ms", "a", "610000"],
  ["()", [], "00"],
  ["a(ss)", [["a", "b"]], "6100 6200 02 05"],
])("%s is laid out as specified", (type, value, want) => {
  expect(hex(encodeVariant(type, value))).toBe(hex(bytes(want)));
  expect(decodeVariant(type, bytes(want))).toEqual(value);
});

it.each([
  ["a string without NUL", "s", "6869"],
  ["a NUL inside a string", "s", "680069 00"],
  ["a string that is not UTF-8", "s", "ff00"],
  ["a boolean of 2", "b", "02"],
  ["a NaN that could not be written back", "d", "010000000000f07f"],
  ["too few bytes for a number", "u", "010203"],
  ["a piece of an element", "au", "0100000002"],
  ["an offset that points outside", "as", "6100 ff"],
  ["offsets that go backwards", "as", "6100 6200 04 02"],
  ["padding that is not zero", "(su)", "7800 0100 07000000 02"],
  ["bytes between the last member and the offsets", "(su)", "7800 0000 07000000 ff 02"],
  ["a variant without a type", "v", "0102"],
  ["a variant of no type", "v", "0100"],
  ["a variant of an impossible type", "v", "01005a"],
  ["an empty variant", "v", ""],
  ["offsets wider than needed", "as", "6100 0200"],
  ["a byte after a unit", "()", "0000"],
])("refuses %s", (_title, type, data) => {
  expect(() => decodeVariant(type, bytes(data))).toThrow(OstreeFormatError);
});

it.each(["", "z", "a", "(", "(s", "{vs}", "{s}", "mms", "ss", "a".repeat(300), `${"a".repeat(40)}y`])(
  "refuses the type %j",
  (type) => expect(() => encodeVariant(type, "")).toThrow(OstreeFormatError),
);

/** A type with an arbitrary of its values. */
interface Typed {
  readonly type: string;
  readonly values: fc.Arbitrary<VariantValue>;
}

const text = fc.string({ unit: "grapheme", maxLength: 12 }).filter((s) => !s.includes("\0") && s.isWellFormed());
const BASIC: readonly Typed[] = [
  { type: "b", values: fc.boolean() },
  { type: "y", values: fc.integer({ min: 0, max: 255 }) },
  { type: "n", values: fc.integer({ min: -32768, max: 32767 }) },
  { type: "q", values: fc.integer({ min: 0, max: 65535 }) },
  { type: "i", values: fc.integer() },
  { type: "u", values: fc.integer({ min: 0, max: 0xffff_ffff }) },
  { type: "x", values: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) },
  { type: "t", values: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
  { type: "d", values: fc.double({ noNaN: true }) },
  { type: "s", values: text },
];

const typed: fc.Arbitrary<Typed> = fc.letrec<{ typed: Typed }>((tie) => ({
  typed: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom(...BASIC),
    fc.constant<Typed>({ type: "ay", values: fc.uint8Array({ maxLength: 400 }) }),
    tie("typed").map(({ type, values }) => ({
      type: `a${type}`,
      values: type === "y" ? fc.uint8Array({ maxLength: 20 }) : fc.array(values, { maxLength: 6 }),
    })),
    tie("typed")
      .filter(({ type }) => !type.startsWith("m"))
      .map(({ type, values }) => ({ type: `m${type}`, values: fc.option(values, { freq: 2 }) })),
    fc.array(tie("typed"), { maxLength: 4 }).map((members) => ({
      type: `(${members.map(({ type }) => type).join("")})`,
      values: fc.tuple(...members.map(({ values }) => values)),
    })),
    fc.tuple(fc.constantFrom(...BASIC), tie("typed")).map(([key, value]) => ({
      type: `{${key.type}${value.type}}`,
      values: fc.tuple(key.values, value.values),
    })),
    tie("typed").map(({ type, values }) => ({ type: "v", values: values.map((value) => ({ type, value })) })),
  ),
})).typed;

it("reads back what it wrote, of any type", () => {
  const cases = typed.chain(({ type, values }) => values.map((value) => ({ type, value })));
  fc.assert(
    fc.property(cases, ({ type, value }) => {
      const encoded = encodeVariant(type, value);
      const decoded = decodeVariant(type, encoded);
      expect(decoded).toEqual(value);
      expect(hex(encodeVariant(type, decoded))).toBe(hex(encoded));
    }),
    { numRuns: 400 },
  );
});

/** Bytes either encode back to themselves or are refused with the one error. */
function expectNormalOrRefused(type: string, data: Uint8Array): void {
  let decoded: VariantValue;
  try {
    decoded = decodeVariant(type, data);
  } catch (error) {
    if (error instanceof OstreeFormatError) return;
    throw error;
  }
  expect(hex(encodeVariant(type, decoded))).toBe(hex(data));
}

it("of any bytes, accepts the normal form only, and never fails otherwise than typed", () => {
  const types = [
    "a{sv}",
    "(a{sv}aya(say)sstayay)",
    "(a(say)a(sayay))",
    "(uuua(ayay))",
    "(uuuusa(ayay))",
    "v",
    "aas",
    "mas",
  ];
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.uint8Array({ maxLength: 120 }), (type, data) => {
      expectNormalOrRefused(type, data);
    }),
    { numRuns: 3_000 },
  );
});

it("a valid value with a flipped byte is refused or is another value in normal form", () => {
  const cases = fc.record({
    case: typed.chain(({ type, values }) => values.map((value) => ({ type, data: encodeVariant(type, value) }))),
    at: fc.nat(),
    flip: fc.integer({ min: 1, max: 255 }),
  });
  fc.assert(
    fc.property(cases, ({ case: { type, data }, at, flip }) => {
      if (data.length === 0) return;
      const changed = data.slice();
      changed[at % data.length] = (changed[at % data.length] as number) ^ flip;
      expectNormalOrRefused(type, changed);
    }),
    { numRuns: 1_000 },
  );
});
