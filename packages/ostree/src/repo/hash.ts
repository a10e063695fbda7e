import { createHash, hash } from "node:crypto";
import { encodeFileHeader } from "../core/encode.ts";
import { OstreeCorruptError } from "../core/errors.ts";
import type { Checksum, FileHeader } from "../core/objects.ts";

/** SHA-256 of a metadata object or anything else that is in memory. */
export function sha256(bytes: Uint8Array): Checksum {
  return hash("sha256", bytes, "hex");
}

/** A file object's checksum: over header and uncompressed content. */
export function fileChecksum(header: FileHeader, content: Uint8Array): Checksum {
  return createHash("sha256").update(encodeFileHeader(header)).update(content).digest("hex");
}

/** Computes a file object's checksum piece by piece. */
export class FileHasher {
  readonly #hash = createHash("sha256");
  #bytes = 0;

  constructor(header: FileHeader) {
    this.#hash.update(encodeFileHeader(header));
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#bytes += chunk.length;
  }

  /** Bytes of content so far. */
  get bytes(): number {
    return this.#bytes;
  }

  digest(): Checksum {
    return this.#hash.digest("hex");
  }
}

/** @throws {OstreeCorruptError} when they differ */
export function expectChecksum(what: string, actual: Checksum, expected: Checksum): void {
  if (actual !== expected) {
    throw new OstreeCorruptError(`${what} ${expected} is damaged: its bytes have checksum ${actual}`, {
      expected,
      actual,
    });
  }
}
