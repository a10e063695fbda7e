import type { Checksum, Commit, ObjectType } from "../core/objects.ts";

/** An object's size as its commit says. */
export interface ObjectSize {
  readonly checksum: Checksum;
  /** Undefined in commits of an upstream before 2020. */
  readonly type: ObjectType | undefined;
  /** On the wire: compressed for a file. */
  readonly archivedBytes: number;
  /** On the disk of a bare repository. */
  readonly unpackedBytes: number;
}

/** Upstream's numbers of object types. */
const TYPES: Readonly<Record<number, ObjectType>> = { 1: "file", 2: "dirtree", 3: "dirmeta", 4: "commit" };

/**
 * The index of sizes that `ostree commit --generate-sizes` leaves in the commit's metadata (`ostree.sizes`, `aay`): for each
 * object 32 bytes of checksum, the archived and the unpacked size as variable-length numbers, and one byte of type.
 * Undefined when there is none, or none that makes sense: it is a hint, the objects are what counts.
 */
export function decodeSizes(commit: Commit): readonly ObjectSize[] | undefined {
  const found = commit.metadata.find(([key]) => key === "ostree.sizes")?.[1];
  if (found?.type !== "aay" || !Array.isArray(found.value)) return undefined;
  const sizes: ObjectSize[] = [];
  for (const entry of found.value as readonly unknown[]) {
    const size = entry instanceof Uint8Array ? decodeEntry(entry) : undefined;
    if (size === undefined) return undefined;
    sizes.push(size);
  }
  return sizes;
}

function decodeEntry(bytes: Uint8Array): ObjectSize | undefined {
  if (bytes.length < 34) return undefined;
  const archived = readVarint(bytes, 32);
  const unpacked = archived === undefined ? undefined : readVarint(bytes, archived.next);
  if (archived === undefined || unpacked === undefined || bytes.length > unpacked.next + 1) return undefined;
  return {
    checksum: Buffer.from(bytes.subarray(0, 32)).toString("hex"),
    type: TYPES[bytes[unpacked.next] ?? 0],
    archivedBytes: archived.value,
    unpackedBytes: unpacked.value,
  };
}

/** Seven bits a byte, the lowest first; the highest bit says that more follow. */
function readVarint(bytes: Uint8Array, from: number): { value: number; next: number } | undefined {
  let value = 0;
  for (let i = from, scale = 1; i < bytes.length && i < from + 8; i++, scale *= 128) {
    const byte = bytes[i] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return Number.isSafeInteger(value) ? { value, next: i + 1 } : undefined;
  }
  return undefined;
}
