import { assert } from "@keelson/types";
import {
  EROFS_BLOCK,
  encodeXattrs,
  FLAT_INLINE,
  FLAT_PLAIN,
  INODE_BYTES,
  type InodeKind,
  LINKS_FIELD,
  SLOT_BYTES,
  writeInode,
} from "./format.ts";

/** Owner, permissions and the like. Extended attributes' values are bytes as Latin-1. */
export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: { readonly seconds: number; readonly nanos: number };
  readonly xattrs: ReadonlyMap<string, string>;
}

/** An inode that was written; its place is known once its part of the image is out. */
export interface WrittenInode {
  readonly kind: InodeKind;
  /** Names that it has. */
  links: number;
  readonly chunk: Chunk;
  readonly offset: number;
}

/** Bytes to be put over what was already written. */
export interface Patch {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

interface Chunk {
  /** Offset in the image; undefined until it is written. */
  base: number | undefined;
}

/** Inodes are collected so far before they go out, so that most are near each other. */
const CHUNK_BYTES = 256 * 1024;

/**
 * Writes all of an EROFS image but its directories, in one pass and append-only: content goes out as it comes, in blocks; inodes with the ends of
 * their files are collected and follow in groups. Nothing has to be known beforehand and memory does not grow with content.
 */
export class InodeWriter {
  readonly #sink: (bytes: Uint8Array) => void;
  #position = 0;
  #serial = 0;
  #chunk: Chunk = { base: undefined };
  #buffer = new Uint8Array(CHUNK_BYTES);
  #used = 0;
  readonly #tail = new Uint8Array(EROFS_BLOCK);
  #tailUsed = 0;
  #fileStart = 0;
  #fileSize = 0;

  /** @param sink takes the image's bytes in order; they are only valid during the call */
  constructor(sink: (bytes: Uint8Array) => void) {
    this.#sink = sink;
    this.append(new Uint8Array(EROFS_BLOCK)); // the superblock and the root, patched in at the end
  }

  /** Bytes of the image so far; a multiple of the block when no file is open. */
  get position(): number {
    return this.#position;
  }

  /** Inodes that were numbered. */
  get serials(): number {
    return this.#serial;
  }

  /** Number for the next inode. */
  nextSerial(): number {
    return ++this.#serial;
  }

  /** Appends bytes and counts them. */
  append(bytes: Uint8Array): void {
    this.#sink(bytes);
    this.#position += bytes.length;
  }

  /** Appends zeros up to the next block. */
  pad(): void {
    const rest = this.#position % EROFS_BLOCK;
    if (rest > 0) this.append(ZEROS.subarray(rest));
  }

  /** Begins a file or symlink; its content follows by {@link content}. */
  begin(): void {
    this.#fileStart = this.#position;
    this.#fileSize = 0;
    this.#tailUsed = 0;
  }

  content(bytes: Uint8Array): void {
    this.#fileSize += bytes.length;
    let rest = bytes;
    if (this.#tailUsed > 0) {
      const piece = rest.subarray(0, EROFS_BLOCK - this.#tailUsed);
      this.#tail.set(piece, this.#tailUsed);
      this.#tailUsed += piece.length;
      rest = rest.subarray(piece.length);
      if (this.#tailUsed < EROFS_BLOCK) return;
      this.append(this.#tail);
      this.#tailUsed = 0;
    }
    const whole = rest.length - (rest.length % EROFS_BLOCK);
    if (whole > 0) this.append(rest.subarray(0, whole));
    if (whole < rest.length) {
      this.#tail.set(rest.subarray(whole));
      this.#tailUsed = rest.length - whole;
    }
  }

  /** Ends the file or symlink: writes its inode. */
  end(kind: "file" | "symlink", attributes: Attributes): WrittenInode {
    const xattrs = encodeXattrs(attributes.xattrs);
    const isInline =
      this.#tailUsed > 0 && ((INODE_BYTES + xattrs.length) % EROFS_BLOCK) + this.#tailUsed <= EROFS_BLOCK;
    const tail = isInline ? this.#tail.subarray(0, this.#tailUsed) : NONE;
    if (!isInline && this.#tailUsed > 0) {
      this.append(this.#tail.subarray(0, this.#tailUsed));
      this.pad();
    }
    const hasBlocks = this.#position > this.#fileStart;
    return this.#put(kind, attributes, xattrs, tail, {
      size: this.#fileSize,
      layout: isInline ? FLAT_INLINE : FLAT_PLAIN,
      where: hasBlocks ? this.#fileStart / EROFS_BLOCK : 0,
    });
  }

  /** Writes the inode of a device or FIFO. `device` as `encodeDevice` gives it. */
  special(kind: "char" | "block" | "fifo", attributes: Attributes, device: number): WrittenInode {
    const where = { size: 0, layout: FLAT_PLAIN, where: device };
    return this.#put(kind, attributes, encodeXattrs(attributes.xattrs), NONE, where);
  }

  /** Writes out what was collected. Then every inode's place is known. */
  flush(): void {
    if (this.#used === 0) return;
    this.#chunk.base = this.#position;
    this.append(this.#buffer.subarray(0, this.#used));
    this.pad();
    this.#chunk = { base: undefined };
    this.#buffer.fill(0);
    this.#used = 0;
  }

  #put(
    kind: InodeKind,
    attributes: Attributes,
    xattrs: Uint8Array,
    tail: Uint8Array,
    content: { size: number; layout: number; where: number },
  ): WrittenInode {
    let offset = placeInode(this.#used, xattrs.length, tail.length);
    if (offset + INODE_BYTES + xattrs.length + tail.length > CHUNK_BYTES) {
      this.flush();
      offset = placeInode(0, xattrs.length, tail.length);
    }
    const end = offset + INODE_BYTES + xattrs.length + tail.length;
    assert(end <= CHUNK_BYTES, "an inode fits a chunk", { end });
    const view = new DataView(this.#buffer.buffer);
    const { mode, uid, gid, mtime } = attributes;
    const serial = this.nextSerial();
    writeInode(view, offset, { kind, mode, uid, gid, mtime, links: 1, serial, xattrBytes: xattrs.length, ...content });
    this.#buffer.set(xattrs, offset + INODE_BYTES);
    this.#buffer.set(tail, end - tail.length);
    this.#used = end;
    return { kind, links: 1, chunk: this.#chunk, offset };
  }
}

/** Where an inode is in the image. Only after its chunk was flushed. */
export function inodeOffset(inode: WrittenInode): number {
  assert(inode.chunk.base !== undefined, "the chunk was written");
  return inode.chunk.base + inode.offset;
}

/** The change of an inode's number of links. */
export function linksPatch(inode: WrittenInode): Patch {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, inode.links, true);
  return { offset: inodeOffset(inode) + LINKS_FIELD, bytes };
}

/**
 * The first place at or after `from` for an inode with attributes and an inline end of content. The inode is on a slot and in one block; so is the
 * end of content, as the kernel demands.
 */
export function placeInode(from: number, xattrBytes: number, tailBytes: number): number {
  const fits = (at: number) => {
    const tailStart = at + INODE_BYTES + xattrBytes;
    const isInodeWhole = (at % EROFS_BLOCK) + INODE_BYTES <= EROFS_BLOCK;
    return isInodeWhole && (tailBytes === 0 || (tailStart % EROFS_BLOCK) + tailBytes <= EROFS_BLOCK);
  };
  const slot = Math.ceil(from / SLOT_BYTES) * SLOT_BYTES;
  return fits(slot) ? slot : Math.ceil(slot / EROFS_BLOCK) * EROFS_BLOCK;
}

const ZEROS = new Uint8Array(EROFS_BLOCK);
const NONE = new Uint8Array(0);
