import { basename, dirname } from "node:path";
import type { Prng } from "@keelson/testkit";
import type { SectorDevice } from "../bootlog.ts";
import { SECTOR_BYTES } from "../core/grubenv.ts";
import type { EspFs } from "../esp-fs.ts";

const CLUSTER_BYTES = 1024;

interface SimFile {
  readonly kind: "file";
  live: Uint8Array;
  durable: Uint8Array;
}
interface SimDirectory {
  readonly kind: "directory";
  live: Map<string, SimNode>;
  durable: Map<string, SimNode>;
}
type SimNode = SimFile | SimDirectory;

/** Thrown by an operation at which the power was to be cut. */
export class PowerCut extends Error {}

/**
 * An ESP without a journal, as FAT is: what was not synced may or may not be there after a power cut, each name and each
 * sector on its own. A half-done rename may leave both names or neither.
 */
export class SimEsp implements EspFs {
  #root: SimDirectory = emptyDirectory();
  readonly #capacityBytes: number;
  /** Operations until the power goes; undefined: it does not. */
  cutAfter: number | undefined;
  operations = 0;
  /** sync() answers and does nothing: a test that does not notice proves nothing. */
  lyingSync = false;

  constructor(options: { readonly capacityBytes?: number } = {}) {
    this.#capacityBytes = options.capacityBytes ?? Number.MAX_SAFE_INTEGER;
  }

  async list(directory: string) {
    const node = this.#find(directory);
    if (node?.kind !== "directory") return [];
    return [...node.live].map(([name, child]) => ({ name, isDirectory: child.kind === "directory" }));
  }

  async read(path: string): Promise<Uint8Array | undefined> {
    const node = this.#find(path);
    return node?.kind === "file" ? node.live.slice() : undefined;
  }

  async makeDirectory(path: string): Promise<void> {
    const parent = this.#parent(path);
    if (!parent.live.has(basename(path))) parent.live.set(basename(path), emptyDirectory());
    this.#tick();
  }

  async write(path: string, data: Uint8Array): Promise<void> {
    const parent = this.#parent(path);
    const old = parent.live.get(basename(path));
    if (old?.kind === "directory") throw new Error(`${path} is a folder`);
    if (this.#usedBytes() + roundUp(data.length) > this.#capacityBytes) {
      throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
    }
    // Opening truncates; the bytes are a second operation.
    const file: SimFile = old ?? { kind: "file", live: new Uint8Array(), durable: new Uint8Array() };
    file.live = new Uint8Array();
    parent.live.set(basename(path), file);
    this.#tick();
    file.live = data.slice();
    this.#tick();
  }

  async writeAt(path: string, offset: number, data: Uint8Array): Promise<void> {
    const file = this.#find(path);
    if (file?.kind !== "file") throw new Error(`ENOENT: ${path}`);
    const bytes = file.live.slice();
    bytes.set(data, offset);
    file.live = bytes;
    this.#tick();
  }

  async sync(path: string): Promise<void> {
    const node = this.#find(path);
    if (node === undefined) throw new Error(`ENOENT: ${path}`);
    this.#tick();
    if (this.lyingSync) return;
    if (node.kind === "file") node.durable = node.live.slice();
    else node.durable = new Map(node.live);
    this.#tick();
  }

  async rename(from: string, to: string): Promise<void> {
    const parent = this.#parent(from);
    const node = parent.live.get(basename(from));
    if (node === undefined || parent.live.has(basename(to)) || dirname(from) !== dirname(to)) {
      throw new Error(`cannot rename ${from} to ${to}`);
    }
    parent.live.delete(basename(from));
    parent.live.set(basename(to), node);
    this.#tick();
  }

  async removeFile(path: string): Promise<void> {
    this.#parent(path).live.delete(basename(path));
    this.#tick();
  }

  async removeDirectory(path: string): Promise<void> {
    const node = this.#find(path);
    if (node?.kind === "directory" && node.live.size > 0) throw new Error(`ENOTEMPTY: ${path}`);
    this.#parent(path).live.delete(basename(path));
    this.#tick();
  }

  async space() {
    return { freeBytes: this.#capacityBytes - this.#usedBytes(), clusterBytes: CLUSTER_BYTES };
  }

  /** What the disk holds after a power cut now: all that was synced, and any of the rest. */
  afterCut(rng: Prng): SimEsp {
    const next = new SimEsp({ capacityBytes: this.#capacityBytes });
    next.#root = survive(this.#root, rng) as SimDirectory;
    return next;
  }

  #tick(): void {
    this.operations++;
    if (this.cutAfter !== undefined && this.operations > this.cutAfter) throw new PowerCut("the power was cut");
  }

  #find(path: string): SimNode | undefined {
    let node: SimNode | undefined = this.#root;
    for (const name of path.split("/").filter(Boolean)) {
      node = node?.kind === "directory" ? node.live.get(name) : undefined;
    }
    return node;
  }

  #parent(path: string): SimDirectory {
    const parent = this.#find(dirname(path));
    if (parent?.kind !== "directory") throw new Error(`ENOENT: ${dirname(path)}`);
    return parent;
  }

  #usedBytes(node: SimNode = this.#root): number {
    if (node.kind === "file") return roundUp(node.live.length);
    return [...node.live.values()].reduce((sum, child) => sum + this.#usedBytes(child), CLUSTER_BYTES);
  }
}

function emptyDirectory(): SimDirectory {
  return { kind: "directory", live: new Map(), durable: new Map() };
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / CLUSTER_BYTES) * CLUSTER_BYTES;
}

function survive(node: SimNode, rng: Prng): SimNode {
  if (node.kind === "file") {
    const data = surviveBytes(node.durable, node.live, rng);
    return { kind: "file", live: data, durable: data.slice() };
  }
  const names = new Map<string, SimNode>();
  for (const name of new Set([...node.durable.keys(), ...node.live.keys()])) {
    const before = node.durable.get(name);
    const after = node.live.get(name);
    const child = before === after || rng.chance(0.5) ? after : before;
    if (child !== undefined) names.set(name, survive(child, rng));
  }
  return { kind: "directory", live: names, durable: new Map(names) };
}

/** Of each sector the old or the new bytes; of the length, too. */
function surviveBytes(before: Uint8Array, after: Uint8Array, rng: Prng): Uint8Array {
  const data = new Uint8Array(rng.chance(0.5) ? after.length : before.length);
  for (let at = 0; at < data.length; at += SECTOR_BYTES) {
    const source = rng.chance(0.5) ? after : before;
    data.set(source.subarray(at, Math.min(at + SECTOR_BYTES, data.length)), at);
  }
  return data;
}

/** A bootlog partition in memory. Its sector writes are atomic and durable, as the port says. */
export class SimSectors implements SectorDevice {
  readonly bytes: Uint8Array;

  constructor(sectors = 64) {
    this.bytes = new Uint8Array(sectors * SECTOR_BYTES);
  }

  async read(): Promise<Uint8Array> {
    return this.bytes.slice();
  }

  async writeSector(sector: number, data: Uint8Array): Promise<void> {
    this.bytes.set(data, sector * SECTOR_BYTES);
  }
}
