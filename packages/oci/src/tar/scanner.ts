import { LayerError } from "../errors.ts";
import { BLOCK, bytesToText, type EntryKind, isZeroBlock, parseHeader, type RawHeader } from "./header.ts";
import { parsePax, paxInteger, paxTime, XATTR_KEY } from "./pax.ts";

/** An entry with its extended headers applied. Names are bytes as Latin-1, exactly as in the archive. */
export interface TarEntry {
  readonly kind: EntryKind;
  readonly name: string;
  /** Target of a symlink or hard link, else "". */
  readonly linkName: string;
  /** Permission bits, with set-id and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content that follow; 0 but for files. */
  readonly size: number;
  readonly mtime: { readonly seconds: number; readonly nanos: number };
  readonly major: number;
  readonly minor: number;
  /** Extended attributes; values are bytes as Latin-1. */
  readonly xattrs: ReadonlyMap<string, string>;
  /** Where the content starts in the archive. */
  readonly offset: number;
}

/** What a {@link TarScanner} finds, in order. `data` may come in any pieces; the bytes are only valid during the call. */
export interface TarHandler {
  entry(entry: TarEntry): void;
  data(bytes: Uint8Array): void;
  end(): void;
}

/** Largest extended header or long name. */
const EXTENDED_BYTES_MAX = 1024 * 1024;
const GLOBAL_RECORDS_MAX = 64;
/** Linux' PATH_MAX, with its NUL. */
const NAME_BYTES_MAX = 4096;
const UID_MAX = 0xffff_fffe;
const KINDS: Readonly<Record<string, EntryKind>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  "6": "fifo",
};

type Content = "entry" | "pax" | "global" | "long-name" | "long-link" | "skip";

/**
 * Reads a tar from pieces of any size: ustar, GNU long names, pax with path, linkpath, size, uid, gid, mtime and xattrs. Sparse files and
 * unknown types are refused. It neither judges names nor touches a file system: see `LayerTree`.
 */
export class TarScanner {
  readonly #handler: TarHandler;
  readonly #block = new Uint8Array(BLOCK);
  #filled = 0;
  #position = 0;
  #content: Content = "skip";
  #left = 0;
  #padding = 0;
  #zeroBlocks = 0;
  #extended: Uint8Array = new Uint8Array(0);
  #extendedFilled = 0;
  readonly #global = new Map<string, string>();
  #pax: Map<string, string> | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  /** Bytes read so far. */
  get position(): number {
    return this.#position;
  }

  /** @throws LayerError, after which the scanner must not be used */
  push(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#left > 0) {
        const piece = bytes.subarray(at, at + this.#left);
        at += piece.length;
        this.#position += piece.length;
        this.#left -= piece.length;
        this.#take(piece);
        if (this.#left === 0) this.#endContent();
      } else if (this.#padding > 0) {
        const skipped = Math.min(this.#padding, bytes.length - at);
        at += skipped;
        this.#position += skipped;
        this.#padding -= skipped;
      } else {
        const piece = bytes.subarray(at, at + BLOCK - this.#filled);
        this.#block.set(piece, this.#filled);
        this.#filled += piece.length;
        at += piece.length;
        this.#position += piece.length;
        if (this.#filled === BLOCK) {
          this.#filled = 0;
          this.#header();
        }
      }
    }
  }

  /** Whether the end mark was read. What follows is no part of the archive. */
  get isAtEnd(): boolean {
    return this.#zeroBlocks >= 2;
  }

  /** Bytes of content and padding that come next and need not be pushed: see {@link skip}. */
  get skippable(): number {
    return this.#content === "entry" || this.#left === 0 ? this.#left + this.#padding : 0;
  }

  /** Goes on behind the content of the current entry, as if it had been pushed, but without `data`. For archives that can be read from anywhere. */
  skip(): void {
    const isContent = this.#left > 0;
    this.#position += this.skippable;
    this.#left = this.#padding = 0;
    if (isContent) this.#endContent();
  }

  /** The archive has ended. One without its end mark is accepted at an entry's boundary, as upstream's readers do. @throws LayerError */
  finish(): void {
    const isOpen = this.#left > 0 || this.#padding > 0 || (this.#filled > 0 && this.#zeroBlocks < 2);
    const isPending = this.#pax !== undefined || this.#longName !== undefined || this.#longLink !== undefined;
    if (isOpen || isPending) throw new LayerError("truncated", "the tar ends in the middle of an entry");
  }

  #take(piece: Uint8Array): void {
    if (this.#content === "entry") this.#handler.data(piece);
    else if (this.#content !== "skip") {
      this.#extended.set(piece, this.#extendedFilled);
      this.#extendedFilled += piece.length;
    }
  }

  #header(): void {
    // What follows the end mark is no part of the archive.
    if (this.#zeroBlocks >= 2) return;
    if (isZeroBlock(this.#block)) {
      this.#zeroBlocks++;
      return;
    }
    if (this.#zeroBlocks === 1) throw new LayerError("not-a-tar", "an entry follows a lone block of zeros");
    const header = parseHeader(this.#block);
    const extension = extensionOf(header.type);
    if (extension === undefined) this.#entry(header);
    else this.#beginExtension(extension, header);
  }

  #beginExtension(content: Content, header: RawHeader): void {
    const limit = content === "long-name" || content === "long-link" ? NAME_BYTES_MAX : EXTENDED_BYTES_MAX;
    if (header.size > limit) {
      throw new LayerError("limit", `an extended header is ${header.size} bytes long; the limit is ${limit}`);
    }
    this.#extended = new Uint8Array(header.size);
    this.#extendedFilled = 0;
    this.#begin(content, header.size);
  }

  #begin(content: Content, size: number): void {
    this.#content = content;
    this.#left = size;
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK;
    if (size === 0) this.#endContent();
  }

  #endContent(): void {
    switch (this.#content) {
      case "entry":
        this.#handler.end();
        break;
      case "pax":
        this.#pax = parsePax(this.#extended, this.#pax);
        break;
      case "global":
        parsePax(this.#extended, this.#global);
        // They are applied to every entry: many of them would be much work for few bytes.
        if (this.#global.size > GLOBAL_RECORDS_MAX) throw new LayerError("limit", "too many records for all entries");
        break;
      case "long-name":
        this.#longName = cString(this.#extended);
        break;
      case "long-link":
        this.#longLink = cString(this.#extended);
        break;
      case "skip":
        break;
    }
    this.#content = "skip";
  }

  #entry(header: RawHeader): void {
    const own = this.#pax ?? NO_RECORDS;
    const records = this.#global.size === 0 ? own : new Map([...this.#global, ...own]);
    const name = records.get("path") ?? this.#longName ?? header.name;
    const linkName = records.get("linkpath") ?? this.#longLink ?? header.linkName;
    this.#pax = this.#longName = this.#longLink = undefined;
    const entry = toEntry(header, records, name, linkName, this.#position);
    this.#handler.entry(entry);
    this.#begin("entry", entry.size);
  }
}

function extensionOf(type: string): Content | undefined {
  switch (type) {
    case "x":
      return "pax";
    case "g":
      return "global";
    case "L":
      return "long-name";
    case "K":
      return "long-link";
    default:
      return undefined;
  }
}

function toEntry(
  header: RawHeader,
  records: ReadonlyMap<string, string>,
  name: string,
  linkName: string,
  offset: number,
): TarEntry {
  const isSparse = header.type === "S" || records.keys().some((key) => key.startsWith("GNU.sparse."));
  if (isSparse) throw new LayerError("sparse", "is stored as a sparse file, which layers must not have", name);
  // Before POSIX, a directory was a file whose name ends with a slash.
  const isOldDirectory = (header.type === "0" || header.type === "\0") && name.endsWith("/");
  const kind = isOldDirectory ? "directory" : Object.hasOwn(KINDS, header.type) ? KINDS[header.type] : undefined;
  if (kind === undefined)
    throw new LayerError("not-a-tar", `has the unknown type ${JSON.stringify(header.type)}`, name);
  for (const text of [name, linkName]) {
    if (text.length >= NAME_BYTES_MAX) throw new LayerError("limit", `a name is longer than ${NAME_BYTES_MAX} bytes`);
    if (text.includes("\0")) throw new LayerError("bad-name", "a name holds a NUL byte", text);
  }
  const number = (key: string, plain: number) => {
    const value = records.get(key);
    return value === undefined ? plain : paxInteger(key, value);
  };
  const size = number("size", header.size);
  const [uid, gid] = [number("uid", header.uid), number("gid", header.gid)];
  if (uid > UID_MAX || gid > UID_MAX)
    throw new LayerError("bad-attribute", `the owner ${uid}:${gid} is out of range`, name);
  const mtime = records.get("mtime");
  const isLink = kind === "symlink" || kind === "hardlink";
  return {
    kind,
    name,
    linkName: isLink ? linkName : "",
    mode: header.mode,
    uid,
    gid,
    // Others may state a size, but nothing follows: GNU tar, libarchive and Go agree.
    size: kind === "file" ? size : 0,
    mtime: mtime === undefined ? { seconds: header.mtime, nanos: 0 } : paxTime(mtime),
    major: header.major,
    minor: header.minor,
    xattrs: xattrsOf(records),
    offset,
  };
}

const NO_RECORDS: ReadonlyMap<string, string> = new Map();
const NO_XATTRS: ReadonlyMap<string, string> = new Map();

function xattrsOf(records: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  let result: Map<string, string> | undefined;
  for (const [key, value] of records) {
    if (!key.startsWith(XATTR_KEY)) continue;
    result ??= new Map();
    result.set(key.slice(XATTR_KEY.length), value);
  }
  return result ?? NO_XATTRS;
}

function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return bytesToText(end < 0 ? bytes : bytes.subarray(0, end));
}
