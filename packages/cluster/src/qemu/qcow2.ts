import { writeFile } from "node:fs/promises";
import { ClusterError } from "../errors.ts";

const CLUSTER_BITS = 16;
const CLUSTER_BYTES = 1 << CLUSTER_BITS;
const HEADER_BYTES = 104;
/** A qcow2 backing file name may have 1023 bytes. */
const BACKING_NAME_BYTES_MAX = 1023;
const EXTENSION_BACKING_FORMAT = 0xe2792aca;

/**
 * An empty qcow2 (version 3) overlay over a raw file: header, one refcount table, one refcount block, an L1 table
 * of zeros (QEMU docs/interop/qcow2.rst). Made here so that hosts need no qemu-img. Pure.
 */
export function encodeOverlay(backingFile: string, virtualBytes: number): Uint8Array {
  const name = Buffer.from(backingFile);
  if (name.length > BACKING_NAME_BYTES_MAX) throw new ClusterError(`the path of the image is too long: ${backingFile}`);
  // An L2 table maps cluster_size / 8 clusters.
  const bytesPerL1Entry = CLUSTER_BYTES * (CLUSTER_BYTES / 8);
  const l1Entries = Math.ceil(virtualBytes / bytesPerL1Entry);
  if (l1Entries * 8 > CLUSTER_BYTES) throw new ClusterError(`a disk of ${virtualBytes} bytes is too large`);
  const file = Buffer.alloc(4 * CLUSTER_BYTES);
  const [refcountTable, refcountBlock, l1Table] = [1, 2, 3].map((n) => n * CLUSTER_BYTES) as [number, number, number];
  const format = Buffer.from("raw");
  const extensionsBytes = 8 + 8 + 8; // backing format (padded to 8), end marker
  file.write("QFI\xfb", 0, "latin1");
  file.writeUInt32BE(3, 4);
  file.writeBigUInt64BE(BigInt(HEADER_BYTES + extensionsBytes), 8);
  file.writeUInt32BE(name.length, 16);
  file.writeUInt32BE(CLUSTER_BITS, 20);
  file.writeBigUInt64BE(BigInt(virtualBytes), 24);
  file.writeUInt32BE(l1Entries, 36);
  file.writeBigUInt64BE(BigInt(l1Table), 40);
  file.writeBigUInt64BE(BigInt(refcountTable), 48);
  file.writeUInt32BE(1, 56);
  file.writeUInt32BE(4, 96); // refcounts of 16 bits
  file.writeUInt32BE(HEADER_BYTES, 100);
  file.writeUInt32BE(EXTENSION_BACKING_FORMAT, HEADER_BYTES);
  file.writeUInt32BE(format.length, HEADER_BYTES + 4);
  format.copy(file, HEADER_BYTES + 8);
  name.copy(file, HEADER_BYTES + extensionsBytes);
  file.writeBigUInt64BE(BigInt(refcountBlock), refcountTable);
  for (let cluster = 0; cluster < 4; cluster++) file.writeUInt16BE(1, refcountBlock + cluster * 2);
  return file;
}

/** Writes a new overlay. */
export async function createOverlay(path: string, backingFile: string, virtualBytes: number): Promise<void> {
  await writeFile(path, encodeOverlay(backingFile, virtualBytes));
}
