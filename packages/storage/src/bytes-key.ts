/** Bytes as a string of one UTF-16 unit per byte, to be the key of a Map. */
export function bytesKey(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
