import { badArgs } from "./exit.ts";

const encoder = new TextEncoder();
const ZERO = new Uint8Array([0]);

export function keyBytes(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/** `key` and `range_end` of a request from arguments and the flags --prefix and --from-key. @throws {ExitError} */
export function rangeOf(
  key: string,
  end: string | undefined,
  flags: { readonly prefix?: boolean; readonly fromKey?: boolean },
): { key: Uint8Array; rangeEnd: Uint8Array } {
  if (flags.prefix === true && flags.fromKey === true) {
    badArgs("`--prefix` and `--from-key` cannot be set at the same time, choose one");
  }
  const wide = flags.prefix === true || flags.fromKey === true;
  if (wide && end !== undefined) {
    badArgs("too many arguments, only accept one argument when `--prefix` or `--from-key` is set");
  }
  const bytes = keyBytes(key);
  if (!wide) return { key: bytes, rangeEnd: end === undefined ? new Uint8Array() : keyBytes(end) };
  if (bytes.length === 0) return { key: ZERO, rangeEnd: ZERO };
  return { key: bytes, rangeEnd: flags.prefix === true ? endOfPrefix(bytes) : ZERO };
}

function endOfPrefix(prefix: Uint8Array): Uint8Array {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i] ?? 0;
    if (byte === 0xff) continue;
    const end = prefix.slice(0, i + 1);
    end[i] = byte + 1;
    return end;
  }
  return ZERO;
}
