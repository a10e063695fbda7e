import { swap64 } from "./bytes.ts";
import { checksumFromBytes, checksumToBytes } from "./checksum.ts";
import { OstreeFormatError } from "./errors.ts";
import { decodeVariant } from "./gvariant-decode.ts";
import { encodeVariant } from "./gvariant-encode.ts";
import { isRefName } from "./names.ts";
import type { Checksum } from "./objects.ts";
import type { Metadata } from "./variant.ts";

/** GVariant type of a `summary` file. */
export const SUMMARY_TYPE = "(a(s(taya{sv}))a{sv})";

/** A ref in a summary. */
export interface SummaryRef {
  readonly ref: string;
  /** Bytes of the commit object. */
  readonly commitSize: number;
  readonly checksum: Checksum;
  readonly metadata: Metadata;
}

/** A repository's `summary` file. */
export interface Summary {
  /** Sorted by ref. */
  readonly refs: readonly SummaryRef[];
  readonly metadata: Metadata;
}

/** A summary's bytes. */
export function encodeSummary(summary: Summary): Uint8Array {
  return encodeVariant(SUMMARY_TYPE, [
    summary.refs.map(({ ref, commitSize, checksum, metadata }) => [
      ref,
      [BigInt(commitSize), checksumToBytes(checksum), metadata],
    ]),
    summary.metadata,
  ]);
}

/** The inverse of {@link encodeSummary}. @throws {OstreeFormatError} */
export function decodeSummary(bytes: Uint8Array): Summary {
  const [refs, metadata] = decodeVariant(SUMMARY_TYPE, bytes) as unknown as [
    [ref: string, [size: bigint, checksum: Uint8Array, metadata: Metadata]][],
    Metadata,
  ];
  return {
    refs: refs.map(([ref, [size, checksum, extra]]) => {
      if (!isRefName(ref)) throw new OstreeFormatError("a summary holds what is not a ref's name", { ref });
      const commitSize = Number(size);
      if (!Number.isSafeInteger(commitSize)) throw new OstreeFormatError("a commit's size is out of range", { ref });
      return { ref, commitSize, checksum: checksumFromBytes(checksum), metadata: extra };
    }),
    metadata,
  };
}

/** An integer that OSTree writes big-endian as a `t`. */
export function bigEndianU64(value: number): { readonly type: "t"; readonly value: bigint } {
  return { type: "t", value: swap64(BigInt(value)) };
}
