import { CoreError } from "@keelson/types";
import fc from "fast-check";

// Helpers of this package's own tests.

/** Text that is mostly a unit file, with everything odd that one can hold. */
export const unitText = fc
  .array(
    fc.oneof(
      fc.constantFrom("", "  ", "# c", "; c \\", "[Unit]", "  [Service]\t", "[X-Fleet]", "A=", "  A = b ", "A=b \\"),
      fc.constantFrom("  c", "A=\\", "\\", "\tB=\\\\", "\uFEFF"),
      fc
        .tuple(fc.constantFrom("Key", "ExecStart", "Ä b"), fc.string({ unit: "grapheme" }))
        .map(([k, v]) => `${k}=${v}`),
      fc.string({ unit: "binary" }),
    ),
  )
  .chain((lines) => fc.constantFrom("\n", "\r\n").map((eol) => lines.join(eol)));

/** The value of `fn`, or its refusal; an error that was not thrown on purpose passes through and fails the test. */
export function attempt<T>(fn: () => T): { value: T } | { refusal: CoreError } {
  try {
    return { value: fn() };
  } catch (error) {
    if (error instanceof CoreError && error.code !== "ERR_ASSERTION") return { refusal: error };
    throw error;
  }
}
