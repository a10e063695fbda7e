import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import type { PowerCutReport } from "../../port.ts";
import { NbdServer } from "./nbd-server.ts";
import { type DurableDisk, type Unflushed, WriteCache } from "./write-cache.ts";

/** Unflushed writes of one disk that are kept in memory. */
const CACHE_BYTES_MAX = 256 << 20;

/**
 * A raw disk file behind a volatile write cache of ours, served to QEMU over NBD: so that a power cut loses or tears what
 * the guest had not flushed, as real disks do. (SIGKILL of QEMU alone is kinder: every write it took is in the host's
 * page cache.) "Lasting" here means written to the file: the host itself does not crash in tests.
 */
export class VolatileDisk implements AsyncDisposable {
  readonly socket: string;
  readonly #file: FileDisk;
  readonly #cache: WriteCache;
  readonly #server: NbdServer;

  private constructor(file: FileDisk, cache: WriteCache, server: NbdServer, socket: string) {
    this.#file = file;
    this.#cache = cache;
    this.#server = server;
    this.socket = socket;
  }

  static async open(path: string, socket: string): Promise<VolatileDisk> {
    const file = new FileDisk(path);
    const cache = new WriteCache(file, CACHE_BYTES_MAX);
    const disk = {
      sizeBytes: file.sizeBytes,
      read: (offset: number, length: number) => cache.read(offset, length),
      write: (offset: number, data: Uint8Array) => cache.write(offset, data),
      flush: () => cache.flush(),
    };
    return new VolatileDisk(file, cache, await NbdServer.listen(disk, socket), socket);
  }

  /** The machine was reset, not cut: the cache still has its power. After that, the file is what the machine sees. */
  async settle(): Promise<void> {
    await this.#server.idle();
    this.#cache.flush();
  }

  /** The power is gone; QEMU has ended. */
  async cut(unflushed: Unflushed, random: () => number): Promise<PowerCutReport> {
    await this.#server.idle();
    return this.#cache.cut(unflushed, random);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    this.#file.close();
  }
}

/** Reads and writes a file at once, from and to the page cache: cheaper than a trip through the thread pool. */
class FileDisk implements DurableDisk {
  readonly sizeBytes: number;
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, "r+");
    this.sizeBytes = fstatSync(this.#fd).size;
  }

  read(offset: number, length: number): Uint8Array {
    const out = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const bytes = readSync(this.#fd, out, done, length - done, offset + done);
      if (bytes === 0) return out.fill(0, done);
      done += bytes;
    }
    return out;
  }

  write(offset: number, data: Uint8Array): void {
    let done = 0;
    while (done < data.length) done += writeSync(this.#fd, data, done, data.length - done, offset + done);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
