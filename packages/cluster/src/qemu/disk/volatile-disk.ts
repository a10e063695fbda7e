import { rm, stat, truncate } from "node:fs/promises";
import { run } from "@keelson/linux";
import { ClusterError } from "../../errors.ts";
import type { PowerCutReport } from "../../port.ts";
import { FileDisk } from "./file-disk.ts";
import { NbdServer } from "./nbd-server.ts";
import { type Unflushed, WriteCache } from "./write-cache.ts";
import { WriteLog } from "./write-log.ts";

/** Unflushed writes of one disk that are kept in memory. */
const CACHE_BYTES_MAX = 256 << 20;
const COPY_TIMEOUT_MS = 120_000;

/**
 * A raw disk file behind a volatile write cache of ours, served to QEMU over NBD: so that a power cut loses or tears what
 * the guest had not flushed, as real disks do. (SIGKILL of QEMU alone is kinder: every write it took is in the host's
 * page cache.) "Lasting" here means written to the file: the host itself does not crash in tests.
 */
export class VolatileDisk implements AsyncDisposable {
  readonly socket: string;
  readonly #path: string;
  readonly #file: FileDisk;
  readonly #cache: WriteCache;
  readonly #server: NbdServer;
  readonly #recorder: Recorder;

  private constructor(
    path: string,
    socket: string,
    parts: { file: FileDisk; cache: WriteCache; server: NbdServer; recorder: Recorder },
  ) {
    this.#path = path;
    this.socket = socket;
    this.#file = parts.file;
    this.#cache = parts.cache;
    this.#server = parts.server;
    this.#recorder = parts.recorder;
  }

  static async open(path: string, socket: string): Promise<VolatileDisk> {
    const file = new FileDisk(path);
    const cache = new WriteCache(file, CACHE_BYTES_MAX);
    const recorder = new Recorder(path);
    const disk = {
      sizeBytes: file.sizeBytes,
      read: (offset: number, length: number) => cache.read(offset, length),
      write: (offset: number, data: Uint8Array) => {
        recorder.log?.add({ kind: "write", offset, data });
        cache.write(offset, data);
      },
      flush: () => {
        recorder.log?.add({ kind: "flush" });
        cache.flush();
      },
    };
    return new VolatileDisk(path, socket, { file, cache, server: await NbdServer.listen(disk, socket), recorder });
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

  /** Keeps the disk as it is now and all that is written from now on. The machine is off. */
  async startRecording(): Promise<void> {
    await this.settle();
    await this.#recorder.start();
  }

  /** Writes and flushes so far, while or after recording. */
  get recorded(): number {
    return this.#recorder.length;
  }

  /** What is written from now on is not kept; {@link rewind} still knows what was. */
  stopRecording(): void {
    this.#recorder.stop();
  }

  /**
   * Makes the disk as a power cut after the first `count` recorded requests would have left it. The machine is off, and
   * nothing is recorded.
   */
  async rewind(count: number, unflushed: Unflushed, random: () => number): Promise<PowerCutReport> {
    await this.#server.idle();
    this.#cache.cut("lose", random); // of the present, which is given up
    return await this.#recorder.rewind(this.#path, count, unflushed, random);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    this.#file[Symbol.dispose]();
    await this.#recorder[Symbol.asyncDispose]();
  }
}

/** The disk as it was at the start of a recording, and what came after. */
class Recorder implements AsyncDisposable {
  /** Set while recording. */
  log: WriteLog | undefined;
  readonly #disk: string;
  readonly #base: string;
  #kept: WriteLog | undefined;

  constructor(disk: string) {
    this.#disk = disk;
    this.#base = `${disk}.base.raw`;
  }

  get length(): number {
    return this.#kept?.length ?? 0;
  }

  async start(): Promise<void> {
    this.#kept?.[Symbol.dispose]();
    await copySparse(this.#disk, this.#base);
    this.#kept = new WriteLog(`${this.#disk}.log.raw`);
    this.log = this.#kept;
  }

  stop(): void {
    this.log = undefined;
  }

  async rewind(disk: string, count: number, unflushed: Unflushed, random: () => number): Promise<PowerCutReport> {
    if (this.#kept === undefined || this.log !== undefined || count > this.length) {
      throw new ClusterError(`cannot rewind to request ${count}: ${this.length} are recorded`);
    }
    // Into the file that is there, since it is open.
    await copySparse(this.#base, disk);
    using file = new FileDisk(disk);
    const cache = new WriteCache(file, CACHE_BYTES_MAX);
    for (const request of this.#kept.read(count)) {
      if (request.kind === "flush") cache.flush();
      else cache.write(request.offset, request.data);
    }
    return cache.cut(unflushed, random);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kept?.[Symbol.dispose]();
    await rm(this.#base, { force: true });
    await rm(`${this.#disk}.log.raw`, { force: true });
  }
}

async function copySparse(from: string, to: string): Promise<void> {
  const { size } = await stat(from);
  await run(["cp", "--sparse=always", from, to], { timeoutMs: COPY_TIMEOUT_MS });
  await truncate(to, size);
}
