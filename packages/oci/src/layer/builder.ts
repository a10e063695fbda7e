import { encodeDevice } from "../erofs/format.ts";
import { type Attributes, InodeWriter, type Patch } from "../erofs/writer.ts";
import { LayerError } from "../errors.ts";
import { textToBytes } from "../tar/header.ts";
import { type TarEntry, type TarHandler, TarScanner } from "../tar/scanner.ts";
import { writeDirectories } from "./directories.ts";
import { keptXattrs, type LayerLimits, splitPath, whiteoutOf } from "./limits.ts";
import { type DirectoryNode, LayerTree, newDirectory } from "./tree.ts";

/** What a layer held. */
export interface LayerStats {
  readonly entries: number;
  readonly contentBytes: number;
  /** Attributes and bookkeeping that were left out. */
  readonly dropped: number;
}

/** The finished image: what must be put over the bytes that went to the sink, and how many these were. */
export interface BuiltLayer {
  readonly patches: readonly Patch[];
  readonly size: number;
  readonly stats: LayerStats;
}

/**
 * Turns the tar of a layer into an EROFS image, in one pass, without a file system: names that try to leave the layer, go through its links or
 * hide what is not theirs are refused. Whiteouts become overlayfs'. The same tar always gives the same image.
 */
export class LayerBuilder implements TarHandler {
  readonly #scanner = new TarScanner(this);
  readonly #writer: InodeWriter;
  readonly #tree: LayerTree;
  readonly #limits: Required<LayerLimits>;
  #finishFile: (() => void) | undefined;
  #contentBytes = 0;
  #entries = 0;
  #dropped = 0;

  /** @param sink takes the image's bytes in order; they are only valid during the call */
  constructor(sink: (bytes: Uint8Array) => void, limits: LayerLimits = {}) {
    this.#limits = { entriesMax: 1_000_000, contentBytesMax: 64 * 2 ** 30, devices: "refuse", ...limits };
    this.#writer = new InodeWriter(sink);
    this.#tree = new LayerTree(this.#limits.entriesMax);
  }

  /** Takes the next bytes of the uncompressed tar. @throws LayerError, after which the builder must not be used */
  push(bytes: Uint8Array): void {
    this.#scanner.push(bytes);
  }

  /** Ends the tar and the image. @throws LayerError */
  finish(): BuiltLayer {
    this.#scanner.finish();
    const patches = writeDirectories(this.#writer, this.#tree.root);
    const stats = { entries: this.#entries, contentBytes: this.#contentBytes, dropped: this.#dropped };
    return { patches, size: this.#writer.position, stats };
  }

  entry(entry: TarEntry): void {
    if (++this.#entries > this.#limits.entriesMax) {
      throw new LayerError("limit", `the layer has more than ${this.#limits.entriesMax} entries`);
    }
    this.#contentBytes += entry.size;
    if (this.#contentBytes > this.#limits.contentBytesMax) {
      const text = `the layer's files hold more than the limit of ${this.#limits.contentBytesMax} bytes`;
      throw new LayerError("limit", text, entry.name);
    }
    this.#finishFile = undefined;
    const path = splitPath(entry.name);
    const name = path.pop();
    if (name === undefined) return this.#root(entry);
    if (isBookkeeping(path, entry.name)) return void this.#dropped++;
    const whiteout = whiteoutOf(name, entry.name);
    if (whiteout.kind === "ignored") return void this.#dropped++;
    const parent = this.#tree.directory(path, entry.name);
    if (whiteout.kind === "none") return this.#add(parent, name, entry);
    if (entry.kind === "directory") throw new LayerError("bad-whiteout", "a whiteout that is a directory", entry.name);
    if (whiteout.kind === "opaque") parent.isOpaque = true;
    else this.#hide(parent, whiteout.name);
  }

  data(bytes: Uint8Array): void {
    if (this.#finishFile !== undefined) this.#writer.content(bytes);
  }

  end(): void {
    this.#finishFile?.();
    this.#finishFile = undefined;
  }

  #root(entry: TarEntry): void {
    if (entry.kind !== "directory") throw new LayerError("bad-name", `the root is a ${entry.kind}`, entry.name);
    this.#tree.root.attributes = this.#attributes(entry);
  }

  #hide(parent: DirectoryNode, name: string): void {
    parent.whiteouts.add(name);
    if (parent.whiteouts.size > this.#limits.entriesMax) throw new LayerError("limit", "too many whiteouts");
  }

  #add(parent: DirectoryNode, name: string, entry: TarEntry): void {
    const old = parent.children.get(name);
    if (entry.kind === "directory") {
      if (old?.kind === "directory") old.attributes = this.#attributes(entry);
      else this.#tree.add(parent, name, newDirectory(this.#attributes(entry)));
      return;
    }
    if (old?.kind === "directory") {
      throw new LayerError("replaces-directory", `a ${entry.kind} in place of a directory of this layer`, entry.name);
    }
    switch (entry.kind) {
      case "file": {
        const attributes = this.#attributes(entry);
        this.#writer.begin();
        this.#finishFile = () => {
          const inode = this.#writer.end("file", attributes);
          this.#tree.add(parent, name, { kind: "leaf", inode });
        };
        return;
      }
      case "symlink":
        return this.#symlink(parent, name, entry);
      case "hardlink": {
        const target = splitPath(entry.linkName, entry.name);
        const inode = this.#tree.linkTarget(target, entry.name);
        inode.links++;
        this.#tree.add(parent, name, { kind: "leaf", inode });
        return;
      }
      case "fifo":
        return this.#special(parent, name, entry, "fifo", 0);
      case "char":
      case "block":
        return this.#device(parent, name, entry, entry.kind);
    }
  }

  #symlink(parent: DirectoryNode, name: string, entry: TarEntry): void {
    // Where it points is up to whoever follows it, inside the container. It is never followed here.
    if (entry.linkName === "") throw new LayerError("bad-link", "a symlink to nothing", entry.name);
    this.#writer.begin();
    this.#writer.content(textToBytes(entry.linkName));
    const inode = this.#writer.end("symlink", { ...this.#attributes(entry), mode: 0o777 });
    this.#tree.add(parent, name, { kind: "leaf", inode });
  }

  #device(parent: DirectoryNode, name: string, entry: TarEntry, kind: "char" | "block"): void {
    const { major, minor } = entry;
    // overlayfs would take it for a whiteout.
    if (kind === "char" && major === 0 && minor === 0) {
      throw new LayerError("device", "a character device 0:0, which would hide a file of a lower layer", entry.name);
    }
    const isHidden = this.#limits.devices === "refuse" && splitPath(entry.name)[0] === "dev";
    if (isHidden || this.#limits.devices === "skip") return void this.#dropped++;
    if (this.#limits.devices === "refuse") {
      throw new LayerError(
        "device",
        `a ${kind} device (${major}:${minor}), which layers must not have here`,
        entry.name,
      );
    }
    if (major > 4095 || minor > 1_048_575) throw new LayerError("device", "a device number out of range", entry.name);
    this.#special(parent, name, entry, kind, encodeDevice(major, minor));
  }

  #special(
    parent: DirectoryNode,
    name: string,
    entry: TarEntry,
    kind: "char" | "block" | "fifo",
    device: number,
  ): void {
    const inode = this.#writer.special(kind, this.#attributes(entry), device);
    this.#tree.add(parent, name, { kind: "leaf", inode });
  }

  #attributes(entry: TarEntry): Attributes {
    const xattrs = keptXattrs(entry.xattrs, entry.name);
    this.#dropped += entry.xattrs.size - xattrs.size;
    return { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime, xattrs };
  }
}

/** Whether the entry is below one of AUFS' own directories. @throws LayerError for any other name below a whiteout */
function isBookkeeping(path: readonly string[], of: string): boolean {
  for (const component of path) {
    const whiteout = whiteoutOf(component, of);
    if (whiteout.kind === "ignored") return true;
    if (whiteout.kind !== "none") throw new LayerError("bad-whiteout", "the name goes through a whiteout", of);
  }
  return false;
}
