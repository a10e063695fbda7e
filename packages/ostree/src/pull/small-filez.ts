import { inflateRawSync } from "node:zlib";
import { decodeHeaderLength, decodeZlibFileHeader } from "../core/decode.ts";
import { OstreeCorruptError } from "../core/errors.ts";
import { type FileHeader, S_IFLNK, S_IFMT } from "../core/objects.ts";
import { inflateError } from "../repo/filez.ts";

/** Object files up to this are inflated at once: most of an image's are small, and a stream for each costs more than its work. */
export const SMALL_BYTES_MAX = 128 * 1024;
/** Content of those, at most. */
const CONTENT_BYTES_MAX = 2 * 1024 * 1024;

/** A file object, whole. */
export interface SmallFile {
  readonly header: FileHeader;
  readonly size: number;
  readonly content: Uint8Array;
}

/**
 * Reads a `.filez` that is in memory; undefined when it says that its content is large. The caller checks the checksum.
 *
 * @throws OstreeFormatError, OstreeCorruptError
 */
export function parseSmallFilez(bytes: Uint8Array): SmallFile | undefined {
  const start = 8 + decodeHeaderLength(bytes);
  if (start > bytes.length) throw new OstreeCorruptError("a file object is cut short", { bytes: bytes.length });
  const { header, size } = decodeZlibFileHeader(bytes.subarray(8, start));
  // Nothing stands after a symlink's header, not even deflate's own end.
  if ((header.mode & S_IFMT) === S_IFLNK) return { header, size, content: new Uint8Array() };
  if (size > CONTENT_BYTES_MAX) return undefined;
  let content: Uint8Array;
  try {
    // One more byte than it says, so that too much is seen as such.
    content = inflateRawSync(bytes.subarray(start), { maxOutputLength: size + 1 });
  } catch (cause) {
    throw inflateError(cause);
  }
  if (content.length !== size) {
    throw new OstreeCorruptError("a file object's size is not what its header says", { size, bytes: content.length });
  }
  return { header, size, content };
}
