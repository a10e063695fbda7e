import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import type { DurableDisk } from "./write-cache.ts";

/** Reads and writes a file at once, from and to the page cache: cheaper than a trip through the thread pool. */
export class FileDisk implements DurableDisk, Disposable {
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

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
