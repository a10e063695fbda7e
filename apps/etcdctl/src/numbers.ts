import { badArgs, Exit, ExitError } from "./exit.ts";
import { parseInt64, quote } from "./go.ts";

/** A commander parser of a 64-bit flag; its error is the one of Go's flag library. */
export function int64Flag(name: string): (text: string) => bigint {
  return (text) => {
    const value = parseInt64(text, 10);
    if (typeof value === "bigint") return value;
    throw new ExitError(Exit.ERROR, `invalid argument ${quote(text)} for "--${name}" flag: ${value}`);
  };
}

/** @throws {ExitError} 128 */
export function leaseIdArg(text: string, what = "bad lease ID arg"): bigint {
  const value = parseInt64(text, 16);
  return typeof value === "bigint" ? value : badArgs(`${what} (${value}), expecting ID in Hex`);
}

/** @throws {ExitError} 128 */
export function memberIdArg(text: string): bigint {
  const value = parseInt64(text, 16, true);
  return typeof value === "bigint" ? value : badArgs(`bad member ID arg (${value}), expecting ID in Hex`);
}
