import { assert, type Clock, CoreError } from "@keelson/types";
import { ByteMap, bytesToKey } from "./byte-map.ts";
import type { Prng } from "./prng.ts";

/** One change of a batch; the shape of `WriteOp` of `@keelson/storage`. */
export type DiskOp =
  | { readonly type: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: "del"; readonly key: Uint8Array }
  | { readonly type: "delRange"; readonly gte: Uint8Array; readonly lt: Uint8Array };

/** The disk has no room for the batch; nothing of it was written. */
export class DiskFullError extends CoreError<"ENOSPC"> {
  readonly code = "ENOSPC";
}

/** fsync reported an I/O error: what was written since the last good fsync may never become durable. */
export class DiskSyncError extends CoreError<"EIO"> {
  readonly code = "EIO";
}

/** Options of {@link SimDisk}. */
export interface SimDiskOptions {
  readonly rng: Prng;
  /** The shortest time an fsync takes. Default 0.1. */
  readonly fsyncMinMs?: number;
  /** The longest. Default 2. */
  readonly fsyncMaxMs?: number;
  /** The chance that an fsync takes `stallMs`. Default 0. */
  readonly stallChance?: number;
  readonly stallMs?: number;
  /** Bytes of keys and values that fit. Default: no limit. */
  readonly capacityBytes?: number;
}

/** Faults that may be switched while a simulation runs. */
export interface DiskFaults {
  /** The chance that an fsync fails. */
  fsyncError: number;
  /** fsync reports success and does nothing: a test that does not notice this proves nothing about durability. */
  lyingFsync: boolean;
  /** Every write fails with {@link DiskFullError}. */
  full: boolean;
}

/** What a power cut did. */
export interface CrashReport {
  readonly unsyncedBatches: number;
  readonly keptBatches: number;
  /** The cut went through the middle of a batch, which was therefore lost. */
  readonly torn: boolean;
}

interface LogRecord {
  readonly ops: readonly DiskOp[];
  readonly bytes: number;
}

/**
 * A machine's disk as a log of batches, the way LevelDB uses one: a batch is appended to the page cache at once and becomes
 * durable with the next fsync. A power cut keeps all that was synced and any prefix of the rest, cut at any byte; the
 * batch that was cut, and all after it, is gone.
 */
export class SimDisk {
  readonly faults: DiskFaults = { fsyncError: 0, lyingFsync: false, full: false };
  readonly #options: SimDiskOptions;
  /** What a power cut cannot take. */
  #durable = new ByteMap();
  /** What programs see: the page cache. */
  #live = new ByteMap();
  /** Batches in the page cache that are not durable, oldest first. */
  #unsynced: LogRecord[] = [];
  /** After a failed fsync the kernel has dropped those pages: no later fsync makes them or their successors durable. */
  #lost = false;
  #usedBytes = 0;
  #mounts = 0;

  constructor(options: SimDiskOptions) {
    this.#options = options;
  }

  /**
   * Opens the disk for one run of a program, whose time is `clock`. An earlier mount becomes dead: its writes do nothing and
   * its fsyncs never return, as for a process that no longer exists.
   */
  mount(clock: Clock): DiskMount {
    const mount = ++this.#mounts;
    const isDead = () => mount !== this.#mounts;
    return {
      get isAlive() {
        return !isDead();
      },
      get: (key) => this.#live.get(bytesToKey(key)),
      keys: (gte, lt) => this.#live.keys(gte && bytesToKey(gte), lt && bytesToKey(lt)),
      valueOf: (key) => this.#live.get(key),
      append: (ops) => {
        if (!isDead()) this.#append(ops);
      },
      sync: () => this.#sync(clock, isDead),
    };
  }

  /** Ends the program that has the disk mounted (SIGKILL). The page cache survives. */
  killProcess(): void {
    this.#mounts++;
  }

  /** Cuts the power: ends the program and loses what the disk model says. */
  crash(rng: Prng): CrashReport {
    this.killProcess();
    const unsynced = this.#unsynced;
    const total = unsynced.reduce((sum, record) => sum + record.bytes, 0);
    // The whole tail may survive, too: a cut at `total` keeps everything.
    let left = this.#lost ? 0 : rng.below(total + 1);
    let kept = 0;
    for (const record of unsynced) {
      if (left < record.bytes) break;
      left -= record.bytes;
      applyOps(this.#durable, record.ops);
      kept++;
    }
    this.#live = new ByteMap(this.#durable);
    this.#unsynced = [];
    this.#lost = false;
    this.#usedBytes = measure(this.#live);
    return { unsyncedBatches: unsynced.length, keptBatches: kept, torn: left > 0 && kept < unsynced.length };
  }

  /** Bytes of keys and values that programs see. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Batches that a power cut could take now. */
  get unsyncedBatches(): number {
    return this.#unsynced.length;
  }

  #append(ops: readonly DiskOp[]): void {
    const copies = ops.map(copyOp);
    const bytes = copies.reduce((sum, op) => sum + opBytes(op), RECORD_HEADER_BYTES);
    const capacity = this.#options.capacityBytes ?? Number.POSITIVE_INFINITY;
    if (this.faults.full || this.#usedBytes + bytes > capacity) {
      throw new DiskFullError("no space left on the simulated disk", { bytes, usedBytes: this.#usedBytes, capacity });
    }
    this.#usedBytes += applyOps(this.#live, copies);
    this.#unsynced.push({ ops: copies, bytes });
  }

  #sync(clock: Clock, isDead: () => boolean): Promise<void> {
    const { rng, fsyncMinMs = 0.1, fsyncMaxMs = 2, stallChance = 0, stallMs = 0 } = this.#options;
    if (isDead()) return new Promise(() => {});
    assert(fsyncMinMs <= fsyncMaxMs, "fsync times are a range", { fsyncMinMs, fsyncMaxMs });
    const delayMs = rng.chance(stallChance) ? stallMs : fsyncMinMs + rng.float() * (fsyncMaxMs - fsyncMinMs);
    const fails = rng.chance(this.faults.fsyncError);
    const promised = this.#unsynced.at(-1);
    return new Promise((resolve, reject) => {
      clock.after(delayMs, () => {
        if (isDead()) return;
        if (fails) {
          this.#lost = true;
          reject(new DiskSyncError("fsync failed on the simulated disk"));
          return;
        }
        if (!this.faults.lyingFsync && !this.#lost && promised !== undefined) this.#makeDurable(promised);
        resolve();
      });
    });
  }

  /** Makes `last` and all before it durable, unless an overlapping fsync already has. */
  #makeDurable(last: LogRecord): void {
    const count = this.#unsynced.indexOf(last) + 1;
    for (const record of this.#unsynced.splice(0, count)) applyOps(this.#durable, record.ops);
  }
}

/** A program's handle on a {@link SimDisk}. */
export interface DiskMount {
  /** False once the program that mounted it was killed or the disk was mounted again. */
  readonly isAlive: boolean;
  /** What the page cache holds. Not a copy. */
  get(key: Uint8Array): Uint8Array | undefined;
  /** The keys in `[gte, lt)`, in order, as `bytesToKey` text. */
  keys(gte?: Uint8Array, lt?: Uint8Array): string[];
  /** As {@link get}, by `bytesToKey` text. */
  valueOf(key: string): Uint8Array | undefined;
  /** Writes a batch to the page cache. Throws {@link DiskFullError}; then nothing was written. */
  append(ops: readonly DiskOp[]): void;
  /** Makes every batch appended before the call durable. Rejects with {@link DiskSyncError}. */
  sync(): Promise<void>;
}

/** Checksum, length and type of a log record, and the header of a write batch (LevelDB doc/log_format.md). */
const RECORD_HEADER_BYTES = 7 + 12;

function opBytes(op: DiskOp): number {
  if (op.type === "put") return op.key.length + op.value.length + 3;
  return op.type === "del" ? op.key.length + 2 : op.gte.length + op.lt.length + 3;
}

/** Applies changes and returns by how many bytes the map grew. */
function applyOps(map: ByteMap, ops: readonly DiskOp[]): number {
  let grown = 0;
  const remove = (key: string) => {
    const old = map.get(key);
    if (old !== undefined) grown -= key.length + old.length;
  };
  for (const op of ops) {
    if (op.type === "delRange") {
      const [gte, lt] = [bytesToKey(op.gte), bytesToKey(op.lt)];
      for (const key of map.keys(gte, lt)) remove(key);
      map.deleteRange(gte, lt);
      continue;
    }
    const key = bytesToKey(op.key);
    remove(key);
    if (op.type === "put") {
      map.set(key, op.value);
      grown += key.length + op.value.length;
    } else map.delete(key);
  }
  return grown;
}

function measure(map: ByteMap): number {
  return map.keys().reduce((sum, key) => sum + key.length + (map.get(key)?.length ?? 0), 0);
}

/** The caller may reuse its buffers after a write, as with a real disk. (`slice` of a Buffer would not copy.) */
function copyOp(op: DiskOp): DiskOp {
  if (op.type === "put") return { type: "put", key: new Uint8Array(op.key), value: new Uint8Array(op.value) };
  if (op.type === "del") return { type: "del", key: new Uint8Array(op.key) };
  return { type: "delRange", gte: new Uint8Array(op.gte), lt: new Uint8Array(op.lt) };
}
