/** A value with its GVariant type: what stands in a `v`. */
export interface Variant {
  /** A single complete type without `v`'s own wrapping, such as `s`, `as`, `a{sv}`. */
  readonly type: string;
  readonly value: VariantValue;
}

/**
 * How GVariant's types look here: `b` boolean; `y n q i u` and `h` number; `x t` bigint; `d` number; `s o g` string; `ay`
 * Uint8Array; other arrays, tuples and dictionary entries are arrays; `m` is the value or null; `v` is a {@link Variant}.
 */
export type VariantValue = boolean | number | bigint | string | Uint8Array | Variant | null | readonly VariantValue[];

/** `a{sv}` in the order it is written in, which is part of a checksum. */
export type Metadata = readonly (readonly [key: string, value: Variant])[];
