import type { ErofsReader, ReadInode } from "../erofs/reader.ts";
import { bytesToText } from "../tar/header.ts";

/** A file found in a stack of layers. */
export interface FoundFile {
  readonly reader: ErofsReader;
  readonly inode: ReadInode;
}

const HOPS_MAX = 40;

/** Parts of one directory, the topmost first: what overlayfs would merge. */
type Merged = readonly FoundFile[];

/**
 * Finds a path in layers as overlayfs would show it: upper layers first, whiteouts and opaque directories respected, symlinks followed inside the
 * image and never out of it. Undefined when it is not there.
 *
 * @param layers base first
 * @param path absolute
 */
export function findInLayers(layers: readonly ErofsReader[], path: string): FoundFile | undefined {
  const root: Merged = cutAtOpaque(layers.toReversed().map((reader) => ({ reader, inode: reader.root() })));
  const pending = path.split("/");
  let stack: Merged[] = [root];
  for (let hops = 0; pending.length > 0; ) {
    const component = pending.shift();
    if (component === undefined || component === "" || component === ".") continue;
    if (component === "..") {
      if (stack.length > 1) stack.pop();
      continue;
    }
    const directory = stack.at(-1) ?? root;
    const found = lookup(directory, toBytesText(component));
    const [top] = found;
    if (top === undefined) return undefined;
    if (top.inode.kind === "directory") stack.push(found);
    else if (top.inode.kind === "symlink") {
      if (++hops > HOPS_MAX) return undefined;
      const target = fromBytesText(bytesToText(top.reader.content(top.inode, 4096)));
      if (target.startsWith("/")) stack = [root];
      pending.unshift(...target.split("/"));
    } else return pending.every((rest) => rest === "") ? top : undefined;
  }
  return stack.at(-1)?.[0];
}

function lookup(directory: Merged, name: string): Merged {
  const found: FoundFile[] = [];
  for (const { reader, inode } of directory) {
    const entry = reader.entries(inode).find((e) => e.name === name);
    if (entry === undefined) continue;
    const child = { reader, inode: reader.inode(entry.inodeOffset) };
    const isWhiteout = child.inode.kind === "char" && child.inode.where === 0;
    if (isWhiteout) break;
    if (child.inode.kind !== "directory") return found.length === 0 ? [child] : cutAtOpaque(found);
    found.push(child);
  }
  return cutAtOpaque(found);
}

/** An opaque directory hides those below it. */
function cutAtOpaque(parts: Merged): Merged {
  const opaque = parts.findIndex(({ reader, inode }) => reader.xattrs(inode).get("trusted.overlay.opaque") === "y");
  return opaque < 0 ? parts : parts.slice(0, opaque + 1);
}

function toBytesText(text: string): string {
  return bytesToText(new TextEncoder().encode(text));
}

function fromBytesText(text: string): string {
  return new TextDecoder().decode(Uint8Array.from(text, (c) => c.charCodeAt(0)));
}
