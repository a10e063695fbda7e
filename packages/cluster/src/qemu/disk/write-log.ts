import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";

const WRITE = 1;
const FLUSH = 2;
const HEADER_BYTES = 16;
/** Longer writes do not reach a disk in one piece (see the NBD server). */
const DATA_BYTES_MAX = 32 << 20;

/** What a disk was asked, in order. */
export type DiskRequest =
  | { readonly kind: "write"; readonly offset: number; readonly data: Uint8Array }
  | { readonly kind: "flush" };

/** All writes and flushes of a disk, kept in a file, so that the disk can be made again as it was at any of them. */
export class WriteLog implements Disposable {
  readonly #fd: number;
  #count = 0;

  /** Begins an empty log. */
  constructor(path: string) {
    this.#fd = openSync(path, "w+");
  }

  /** How many requests it holds. */
  get length(): number {
    return this.#count;
  }

  add(request: DiskRequest): void {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt8(request.kind === "write" ? WRITE : FLUSH, 0);
    if (request.kind === "write") {
      header.writeUInt32LE(request.data.length, 4);
      header.writeBigUInt64LE(BigInt(request.offset), 8);
    }
    writeAll(this.#fd, header);
    if (request.kind === "write") writeAll(this.#fd, request.data);
    this.#count++;
  }

  /** The first `count` requests. @throws RangeError when the file is not such a log */
  *read(count: number): Generator<DiskRequest> {
    const { size } = fstatSync(this.#fd);
    let at = 0;
    for (let i = 0; i < count && at < size; i++) {
      const header = Buffer.alloc(HEADER_BYTES);
      readSync(this.#fd, header, 0, HEADER_BYTES, at);
      at += HEADER_BYTES;
      if (header.readUInt8(0) === FLUSH) {
        yield { kind: "flush" };
        continue;
      }
      const length = header.readUInt32LE(4);
      if (header.readUInt8(0) !== WRITE || length > DATA_BYTES_MAX)
        throw new RangeError("the log of writes is damaged");
      const data = Buffer.alloc(length);
      readSync(this.#fd, data, 0, length, at);
      at += length;
      yield { kind: "write", offset: Number(header.readBigUInt64LE(8)), data };
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

function writeAll(fd: number, data: Uint8Array): void {
  let done = 0;
  while (done < data.length) done += writeSync(fd, data, done);
}
