import { LayerError } from "../errors.ts";
import { bytesToText } from "../tar/header.ts";
import {
  EROFS_BLOCK,
  FLAT_INLINE,
  FLAT_PLAIN,
  INODE_BYTES,
  type InodeKind,
  kindOfMode,
  ROOT_OFFSET,
  SLOT_BYTES,
  xattrPrefix,
} from "./format.ts";

/** Gives bytes of an image; fewer at its end. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

/** An inode as it was read. */
export interface ReadInode {
  readonly offset: number;
  readonly kind: InodeKind;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: { readonly seconds: number; readonly nanos: number };
  readonly links: number;
  readonly layout: number;
  readonly where: number;
  readonly xattrBytes: number;
}

/** An entry of a directory. */
export interface ReadDirent {
  /** Bytes as Latin-1. */
  readonly name: string;
  readonly inodeOffset: number;
}

const CONTENT_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Reads images that `LayerBuilder` wrote, without mounting them. Only this package's form is known: extended inodes, content that is not compressed.
 * A damaged image gives a LayerError, never wrong memory.
 */
export class ErofsReader {
  readonly #read: ReadAt;

  constructor(read: ReadAt) {
    this.#read = read;
  }

  root(): ReadInode {
    return this.inode(ROOT_OFFSET);
  }

  /** @throws LayerError */
  inode(offset: number): ReadInode {
    const view = viewOf(this.#exactly(offset, INODE_BYTES));
    const format = view.getUint16(0, true);
    const kind = kindOfMode(view.getUint16(4, true));
    const layout = format >> 1;
    if ((format & 1) === 0 || kind === undefined || (layout !== FLAT_PLAIN && layout !== FLAT_INLINE))
      throw damaged(offset);
    const words = view.getUint16(2, true);
    return {
      offset,
      kind,
      mode: view.getUint16(4, true) & 0o7777,
      uid: view.getUint32(24, true),
      gid: view.getUint32(28, true),
      size: Number(view.getBigUint64(8, true)),
      mtime: { seconds: Number(view.getBigInt64(32, true)), nanos: view.getUint32(40, true) },
      links: view.getUint32(44, true),
      layout,
      where: view.getUint32(16, true),
      xattrBytes: words === 0 ? 0 : 12 + (words - 1) * 4,
    };
  }

  /** The content of a file, symlink or directory. @throws LayerError when it is damaged, or larger than `bytesMax` */
  content(inode: ReadInode, bytesMax: number = CONTENT_BYTES_MAX): Uint8Array {
    if (inode.size > bytesMax) throw new LayerError("limit", `a file of ${inode.size} bytes; the limit is ${bytesMax}`);
    const result = new Uint8Array(inode.size);
    const tailBytes = inode.layout === FLAT_INLINE ? inode.size % EROFS_BLOCK : 0;
    const whole = inode.size - tailBytes;
    if (whole > 0) result.set(this.#exactly(inode.where * EROFS_BLOCK, whole));
    if (tailBytes > 0) result.set(this.#exactly(inode.offset + INODE_BYTES + inode.xattrBytes, tailBytes), whole);
    return result;
  }

  /** Entries of a directory but `.` and `..`. @throws LayerError */
  entries(inode: ReadInode): ReadDirent[] {
    const content = this.content(inode);
    const result: ReadDirent[] = [];
    for (let base = 0; base < content.length; base += EROFS_BLOCK) {
      const block = content.subarray(base, base + EROFS_BLOCK);
      const view = viewOf(block);
      const namesStart = block.length < 12 ? 0 : view.getUint16(8, true);
      if (namesStart === 0 || namesStart % 12 !== 0 || namesStart > block.length) throw damaged(inode.offset);
      for (let at = 0; at < namesStart; at += 12) {
        const from = view.getUint16(at + 8, true);
        const to = at + 12 < namesStart ? view.getUint16(at + 20, true) : block.length;
        if (from > to || to > block.length) throw damaged(inode.offset);
        const name = bytesToText(block.subarray(from, to)).replace(/\0+$/, "");
        if (name !== "." && name !== "..") {
          result.push({ name, inodeOffset: Number(view.getBigUint64(at, true)) * SLOT_BYTES });
        }
      }
    }
    return result;
  }

  /** Extended attributes; values are bytes as Latin-1. @throws LayerError */
  xattrs(inode: ReadInode): Map<string, string> {
    const result = new Map<string, string>();
    if (inode.xattrBytes === 0) return result;
    const bytes = this.#exactly(inode.offset + INODE_BYTES, inode.xattrBytes);
    for (let at = 12; at + 4 <= bytes.length; ) {
      const nameLength = bytes[at] ?? 0;
      const valueLength = (bytes[at + 2] ?? 0) | ((bytes[at + 3] ?? 0) << 8);
      const prefix = xattrPrefix(bytes[at + 1] ?? 0);
      const end = at + 4 + nameLength + valueLength;
      if (prefix === undefined || end > bytes.length) throw damaged(inode.offset);
      const name = prefix + bytesToText(bytes.subarray(at + 4, at + 4 + nameLength));
      result.set(name, bytesToText(bytes.subarray(at + 4 + nameLength, end)));
      at = (end + 3) & ~3;
    }
    return result;
  }

  #exactly(offset: number, length: number): Uint8Array {
    const bytes = this.#read(offset, length);
    if (bytes.length !== length) throw damaged(offset);
    return bytes;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function damaged(offset: number): LayerError {
  return new LayerError("damaged", `the image is damaged at ${offset}`);
}
