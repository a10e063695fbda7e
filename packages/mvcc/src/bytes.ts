/** The empty byte string, shared. */
export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

/** Longest argument list handed to `String.fromCharCode`, far below the engine's limit. */
const CHUNK = 4096;

/**
 * Bytes as a string of one char per byte. Such strings cost 16 bytes beside their content (a Uint8Array ten times
 * that), hash in a Map, and `<` on them is byte order.
 */
export function bytesToKey(bytes: Uint8Array): string {
  if (bytes.length <= CHUNK) return Reflect.apply(String.fromCharCode, undefined, bytes);
  let key = "";
  for (let i = 0; i < bytes.length; i += CHUNK) key += bytesToKey(bytes.subarray(i, i + CHUNK));
  return key;
}

/** The bytes of a string made by {@link bytesToKey}. */
export function keyToBytes(key: string): Uint8Array {
  const bytes = new Uint8Array(key.length);
  for (let i = 0; i < key.length; i++) bytes[i] = key.charCodeAt(i);
  return bytes;
}

/** Below, at or above 0 as `a` sorts before, with or after `b`, bytewise. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const n = a.length < b.length ? a.length : b.length;
  for (let i = 0; i < n; i++) {
    const d = (a[i] as number) - (b[i] as number);
    if (d !== 0) return d;
  }
  return a.length - b.length;
}
