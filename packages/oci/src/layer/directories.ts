import { assert } from "@keelson/types";
import {
  type Dirent,
  directorySize,
  EROFS_BLOCK,
  encodeDevice,
  encodeDirectory,
  encodeXattrs,
  FLAT_INLINE,
  FLAT_PLAIN,
  INODE_BYTES,
  ROOT_OFFSET,
  writeInode,
  writeSuperblock,
} from "../erofs/format.ts";
import {
  type InodeWriter,
  inodeOffset,
  linksPatch,
  type Patch,
  placeInode,
  type WrittenInode,
} from "../erofs/writer.ts";
import { LayerError } from "../errors.ts";
import { type DirectoryNode, IMPLIED } from "./tree.ts";

/** A directory with its place. */
interface Placed {
  readonly node: DirectoryNode;
  readonly parent: Placed | undefined;
  readonly names: readonly string[];
  readonly xattrs: Uint8Array;
  readonly size: number;
  /** Bytes of content that follow the inode. */
  readonly inlineBytes: number;
  inodeOffset: number;
  firstBlock: number;
  readonly subdirectories: Map<string, Placed>;
}

const OPAQUE = new Map([["trusted.overlay.opaque", "y"]]);

/**
 * Writes the directories, when all else of the image is out, and gives what must be put over the image's first block and over inodes with
 * several names. Whiteouts become what overlayfs knows: character devices 0:0 (one inode for all) and `trusted.overlay.opaque`.
 */
export function writeDirectories(writer: InodeWriter, root: DirectoryNode): Patch[] {
  const whiteout = prepareWhiteouts(writer, root);
  writer.flush();
  const directories = placeAll(writer.position, root);
  const { linked, rootEnd } = writeAll(writer, directories, whiteout);
  return [...linked.map(linksPatch), firstBlock(writer, directories, rootEnd)];
}

/** A whiteout only concerns lower layers: a name that is also in this layer stays, as an opaque directory or as a file that hides anyway. */
function prepareWhiteouts(writer: InodeWriter, root: DirectoryNode): WrittenInode | undefined {
  let shared: WrittenInode | undefined;
  for (const node of walk(root)) {
    for (const name of node.whiteouts) {
      const own = node.children.get(name);
      if (own?.kind === "directory") own.isOpaque = true;
      if (own !== undefined) node.whiteouts.delete(name);
    }
    if (node.whiteouts.size === 0) continue;
    if (shared === undefined) {
      shared = writer.special("char", { ...IMPLIED, mode: 0 }, encodeDevice(0, 0));
      shared.links = 0;
    }
    shared.links += node.whiteouts.size;
  }
  return shared;
}

function* walk(root: DirectoryNode): Generator<DirectoryNode> {
  const pending = [root];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    yield node;
    for (const child of node.children.values()) if (child.kind === "directory") pending.push(child);
  }
}

/** Decides where every directory goes: the root in the first block, inodes in one area from `start`, whole blocks of content behind it. */
function placeAll(start: number, root: DirectoryNode): Placed[] {
  const result: Placed[] = [];
  const pending: [DirectoryNode, Placed | undefined, string][] = [[root, undefined, ""]];
  let at = start;
  // Breadth first: the list grows while it is walked.
  for (const [node, parent, name] of pending) {
    const room = parent === undefined ? EROFS_BLOCK - ROOT_OFFSET : EROFS_BLOCK;
    const placed = measure(node, parent, room);
    parent?.subdirectories.set(name, placed);
    result.push(placed);
    if (parent === undefined) placed.inodeOffset = ROOT_OFFSET;
    else {
      placed.inodeOffset = placeInode(at, placed.xattrs.length, placed.inlineBytes);
      at = placed.inodeOffset + INODE_BYTES + placed.xattrs.length + placed.inlineBytes;
    }
    for (const child of placed.names) {
      const childNode = node.children.get(child);
      if (childNode?.kind === "directory") pending.push([childNode, placed, child]);
    }
  }
  let block = Math.ceil(at / EROFS_BLOCK);
  for (const placed of result) {
    placed.firstBlock = block;
    block += Math.ceil((placed.size - placed.inlineBytes) / EROFS_BLOCK);
  }
  return result;
}

function measure(node: DirectoryNode, parent: Placed | undefined, room: number): Placed {
  const names = [".", "..", ...node.children.keys(), ...node.whiteouts].sort();
  const xattrs = encodeXattrs(node.isOpaque ? new Map([...node.attributes.xattrs, ...OPAQUE]) : node.attributes.xattrs);
  if (INODE_BYTES + xattrs.length > room && parent === undefined) {
    throw new LayerError("bad-attribute", "the root directory's extended attributes are too large");
  }
  const size = directorySize(names);
  const tail = size % EROFS_BLOCK;
  const fits = ((INODE_BYTES + xattrs.length) % EROFS_BLOCK) + tail <= room;
  const inlineBytes = fits ? tail : 0;
  return { node, parent, names, xattrs, size, inlineBytes, inodeOffset: 0, firstBlock: 0, subdirectories: new Map() };
}

/** Writes all but the root's inode. Returns the inodes that have several names, and the part of the root's content that follows its inode. */
function writeAll(
  writer: InodeWriter,
  all: readonly Placed[],
  whiteout: WrittenInode | undefined,
): { linked: WrittenInode[]; rootEnd: Uint8Array } {
  const linked = new Set<WrittenInode>();
  const base = writer.position;
  const [root, ...others] = all;
  assert(root !== undefined, "there is a root");
  const end = others.reduce(
    (max, p) => Math.max(max, p.inodeOffset + INODE_BYTES + p.xattrs.length + p.inlineBytes),
    base,
  );
  const area = new Uint8Array(end - base);
  const contents: Uint8Array[] = [];
  let rootEnd = new Uint8Array(0);
  for (const placed of all) {
    const content = encodeDirectory(direntsOf(placed, whiteout, linked));
    const split = content.length - placed.inlineBytes;
    if (split > 0) contents.push(content.subarray(0, split));
    if (placed === root) rootEnd = content.slice(split);
    else putDirectory(area, placed.inodeOffset - base, placed, content.subarray(split), writer.nextSerial());
  }
  writer.append(area);
  writer.pad();
  for (const content of contents) {
    writer.append(content);
    writer.pad();
  }
  return { linked: [...linked], rootEnd };
}

function direntsOf(placed: Placed, whiteout: WrittenInode | undefined, linked: Set<WrittenInode>): Dirent[] {
  return placed.names.map((name): Dirent => {
    if (name === ".") return { name, kind: "directory", inodeOffset: placed.inodeOffset };
    if (name === "..") return { name, kind: "directory", inodeOffset: (placed.parent ?? placed).inodeOffset };
    const subdirectory = placed.subdirectories.get(name);
    if (subdirectory !== undefined) return { name, kind: "directory", inodeOffset: subdirectory.inodeOffset };
    const child = placed.node.children.get(name);
    const inode = child?.kind === "leaf" ? child.inode : whiteout;
    assert(inode !== undefined, "a name without an inode", { name });
    if (inode.links !== 1) linked.add(inode);
    return { name, kind: inode.kind, inodeOffset: inodeOffset(inode) };
  });
}

function putDirectory(area: Uint8Array, offset: number, placed: Placed, inline: Uint8Array, serial: number): void {
  const { mode, uid, gid, mtime } = placed.node.attributes;
  writeInode(new DataView(area.buffer, area.byteOffset, area.byteLength), offset, {
    kind: "directory",
    layout: inline.length > 0 ? FLAT_INLINE : FLAT_PLAIN,
    mode,
    uid,
    gid,
    mtime,
    size: placed.size,
    links: 2 + placed.subdirectories.size,
    where: placed.firstBlock,
    serial,
    xattrBytes: placed.xattrs.length,
  });
  area.set(placed.xattrs, offset + INODE_BYTES);
  area.set(inline, offset + INODE_BYTES + placed.xattrs.length);
}

function firstBlock(writer: InodeWriter, all: readonly Placed[], rootEnd: Uint8Array): Patch {
  const [root] = all;
  assert(root !== undefined, "there is a root");
  const bytes = new Uint8Array(EROFS_BLOCK);
  putDirectory(bytes, ROOT_OFFSET, root, rootEnd, writer.nextSerial());
  writeSuperblock(bytes, { inodes: writer.serials, blocks: writer.position / EROFS_BLOCK });
  return { offset: 0, bytes };
}
