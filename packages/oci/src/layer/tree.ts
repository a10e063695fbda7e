import type { Attributes, WrittenInode } from "../erofs/writer.ts";
import { LayerError } from "../errors.ts";

/** A directory of a layer while the layer is read. */
export interface DirectoryNode {
  readonly kind: "directory";
  attributes: Attributes;
  /** Hides what lower layers have in it. */
  isOpaque: boolean;
  readonly children: Map<string, DirectoryNode | LeafNode>;
  /** Names of lower layers that are gone. */
  readonly whiteouts: Set<string>;
}

/** Anything else: a name for an inode. */
export interface LeafNode {
  readonly kind: "leaf";
  readonly inode: WrittenInode;
}

/** Attributes of a directory that is not in the layer but has entries in it. */
export const IMPLIED: Attributes = { mode: 0o755, uid: 0, gid: 0, mtime: { seconds: 0, nanos: 0 }, xattrs: new Map() };

/**
 * The names of a layer. Nothing here follows a link: a name whose parents hold anything but directories of this layer is refused, so that
 * every reader of the layer sees the same tree.
 */
export class LayerTree {
  readonly root: DirectoryNode = newDirectory(IMPLIED);
  readonly #countMax: number;
  #count = 1;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** The directory of these components, made where it is missing. */
  directory(components: readonly string[], of: string): DirectoryNode {
    let node = this.root;
    for (const component of components) {
      const child = node.children.get(component);
      if (child?.kind === "leaf") throw new LayerError("through-link", throughText(child, component), of);
      node = child ?? this.add(node, component, newDirectory(IMPLIED));
    }
    return node;
  }

  /** Adds a name, or replaces one. A directory only replaces what is no directory, and nothing replaces a directory. */
  add<N extends DirectoryNode | LeafNode>(parent: DirectoryNode, name: string, node: N): N {
    if (++this.#count > this.#countMax) {
      throw new LayerError("limit", `the layer has more than ${this.#countMax} entries`);
    }
    const old = parent.children.get(name);
    if (old?.kind === "leaf") old.inode.links--;
    parent.children.set(name, node);
    return node;
  }

  /** The inode that a hard link names. */
  linkTarget(components: readonly string[], of: string): WrittenInode {
    let node: DirectoryNode | LeafNode | undefined = this.root;
    for (const component of components) {
      if (node?.kind === "leaf") throw new LayerError("through-link", throughText(node, component), of);
      node = node?.children.get(component);
    }
    if (node === undefined)
      throw new LayerError("bad-link", "a hard link to a file that is not (yet) in this layer", of);
    if (node.kind === "directory") throw new LayerError("bad-link", "a hard link to a directory", of);
    return node.inode;
  }
}

/** A directory without entries. */
export function newDirectory(attributes: Attributes): DirectoryNode {
  return { kind: "directory", attributes, isOpaque: false, children: new Map(), whiteouts: new Set() };
}

function throughText(node: LeafNode, component: string): string {
  const what = node.inode.kind === "symlink" ? "symlink" : node.inode.kind;
  return `the name goes through ${JSON.stringify(component)}, which is a ${what} of this layer`;
}
