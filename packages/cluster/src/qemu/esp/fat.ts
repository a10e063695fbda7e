import { ClusterError } from "../../errors.ts";
import type { Extent, ReadAt } from "./gpt.ts";

const ENTRY_BYTES = 32;
const ATTRIBUTE_LONG_NAME = 0x0f;
const ATTRIBUTE_VOLUME = 0x08;
const ATTRIBUTE_DIRECTORY = 0x10;
const DELETED = 0xe5;
/** Flags of Windows NT, which Linux honours: name and extension are in lower case. */
const LOWER_NAME = 0x08;
const LOWER_EXTENSION = 0x10;
const FILE_BYTES_MAX = 256 << 20;

/** One name in a folder. */
export interface FatEntry {
  readonly name: string;
  readonly isDirectory: boolean;
  readonly sizeBytes: number;
  readonly cluster: number;
}

interface Geometry {
  readonly clusterBytes: number;
  readonly fatOffset: number;
  readonly fatBytes: number;
  readonly dataOffset: number;
  readonly clusters: number;
  readonly is32: boolean;
  /** Of FAT16: where the root folder is. */
  readonly root: Extent;
  /** Of FAT32. */
  readonly rootCluster: number;
}

/**
 * Reads files of a FAT16 or FAT32 file system that nobody has mounted, and tells where they are on it. Enough for an ESP
 * (Microsoft's FAT specification 1.03, UEFI 13.3). Names are compared without regard to case, as FAT does.
 */
export class FatReader {
  readonly #read: ReadAt;
  readonly #geometry: Geometry;
  readonly #fat: Buffer;

  private constructor(read: ReadAt, geometry: Geometry, fat: Buffer) {
    this.#read = read;
    this.#geometry = geometry;
    this.#fat = fat;
  }

  /** `read` is relative to the file system's start. @throws ClusterError for what is no FAT16 or FAT32 */
  static async open(read: ReadAt): Promise<FatReader> {
    const geometry = parseBootSector(await read(0, 512));
    return new FatReader(read, geometry, await read(geometry.fatOffset, geometry.fatBytes));
  }

  /** What is in a folder, or undefined when there is none. */
  async list(path: string): Promise<readonly FatEntry[] | undefined> {
    let entries = parseFolder(await this.#rootFolder());
    for (const part of partsOf(path)) {
      const found = entries.find((entry) => entry.isDirectory && isSame(entry.name, part));
      if (found === undefined) return undefined;
      entries = parseFolder(await this.#readExtents(this.#extentsOf(found.cluster)));
    }
    return entries;
  }

  /** A whole file, or undefined when there is none. */
  async read(path: string): Promise<Buffer | undefined> {
    const file = await this.#find(path);
    if (file === undefined) return undefined;
    if (file.sizeBytes > FILE_BYTES_MAX) throw new ClusterError(`${path} on the ESP has ${file.sizeBytes} bytes`);
    const bytes = await this.#readExtents(this.#extentsOf(file.cluster), file.sizeBytes);
    if (bytes.length < file.sizeBytes) throw new ClusterError(`${path} on the ESP ends before its size`);
    return bytes.subarray(0, file.sizeBytes);
  }

  /** Where the first bytes of a file are, from the file system's start; undefined when there is no such file. */
  async locate(path: string): Promise<Extent | undefined> {
    const file = await this.#find(path);
    return file === undefined ? undefined : this.#extentsOf(file.cluster)[0];
  }

  async #find(path: string): Promise<FatEntry | undefined> {
    const parts = partsOf(path);
    const name = parts.at(-1) ?? "";
    const entries = await this.list(parts.slice(0, -1).join("/"));
    return entries?.find((entry) => !entry.isDirectory && isSame(entry.name, name));
  }

  async #rootFolder(): Promise<Buffer> {
    const { is32, root, rootCluster } = this.#geometry;
    return is32 ? await this.#readExtents(this.#extentsOf(rootCluster)) : await this.#read(root.offset, root.length);
  }

  async #readExtents(extents: readonly Extent[], bytesMax = Number.POSITIVE_INFINITY): Promise<Buffer> {
    const parts: Buffer[] = [];
    let left = bytesMax;
    for (const { offset, length } of extents) {
      if (left <= 0) break;
      parts.push(await this.#read(offset, Math.min(length, left)));
      left -= length;
    }
    return Buffer.concat(parts);
  }

  /** The clusters of a chain, neighbours joined. */
  #extentsOf(first: number): Extent[] {
    const { clusterBytes, dataOffset, clusters, is32 } = this.#geometry;
    const extents: Extent[] = [];
    let steps = 0;
    for (let cluster = first; cluster >= 2 && cluster < clusters + 2; ) {
      if (steps++ > clusters) throw new ClusterError("a chain of clusters on the ESP is a loop");
      const offset = dataOffset + (cluster - 2) * clusterBytes;
      const last = extents.at(-1);
      if (last !== undefined && last.offset + last.length === offset) {
        extents[extents.length - 1] = { offset: last.offset, length: last.length + clusterBytes };
      } else {
        extents.push({ offset, length: clusterBytes });
      }
      cluster = is32 ? this.#fat.readUInt32LE(cluster * 4) & 0x0fff_ffff : this.#fat.readUInt16LE(cluster * 2);
    }
    return extents;
  }
}

function parseBootSector(sector: Buffer): Geometry {
  const sectorBytes = sector.readUInt16LE(11);
  const clusterSectors = sector.readUInt8(13);
  if (sector.readUInt16LE(510) !== 0xaa55 || ![512, 1024, 2048, 4096].includes(sectorBytes) || clusterSectors === 0) {
    throw new ClusterError("the ESP has no FAT file system");
  }
  const reserved = sector.readUInt16LE(14);
  const fats = sector.readUInt8(16);
  const rootEntries = sector.readUInt16LE(17);
  const sectors = sector.readUInt16LE(19) || sector.readUInt32LE(32);
  const fatSectors = sector.readUInt16LE(22) || sector.readUInt32LE(36);
  const rootSectors = Math.ceil((rootEntries * ENTRY_BYTES) / sectorBytes);
  const dataSector = reserved + fats * fatSectors + rootSectors;
  const clusters = Math.floor((sectors - dataSector) / clusterSectors);
  // The number of clusters decides the kind (Microsoft's specification, "FAT type determination"); FAT12 is for floppies.
  if (clusters < 4085) throw new ClusterError(`the ESP has only ${clusters} clusters: FAT12 is not read`);
  return {
    clusterBytes: clusterSectors * sectorBytes,
    fatOffset: reserved * sectorBytes,
    fatBytes: fatSectors * sectorBytes,
    dataOffset: dataSector * sectorBytes,
    clusters,
    is32: clusters >= 65_525,
    root: { offset: (reserved + fats * fatSectors) * sectorBytes, length: rootSectors * sectorBytes },
    rootCluster: sector.readUInt32LE(44),
  };
}

/** The entries of a folder; long names are put together from the entries before. Pure. */
function parseFolder(folder: Buffer): FatEntry[] {
  const entries: FatEntry[] = [];
  let longName = "";
  for (let at = 0; at + ENTRY_BYTES <= folder.length; at += ENTRY_BYTES) {
    const entry = folder.subarray(at, at + ENTRY_BYTES);
    const first = entry.readUInt8(0);
    if (first === 0) break;
    const attributes = entry.readUInt8(11);
    if (first === DELETED) {
      longName = "";
    } else if ((attributes & 0x3f) === ATTRIBUTE_LONG_NAME) {
      longName = longNamePart(entry) + longName;
    } else {
      const name = longName === "" ? shortName(entry) : longName;
      longName = "";
      if ((attributes & ATTRIBUTE_VOLUME) !== 0 || name === "." || name === "..") continue;
      entries.push({
        name,
        isDirectory: (attributes & ATTRIBUTE_DIRECTORY) !== 0,
        sizeBytes: entry.readUInt32LE(28),
        cluster: (entry.readUInt16LE(20) << 16) | entry.readUInt16LE(26),
      });
    }
  }
  return entries;
}

/** Thirteen UTF-16 units, ended by 0 or filled with 0xffff. */
function longNamePart(entry: Buffer): string {
  const units = Buffer.concat([entry.subarray(1, 11), entry.subarray(14, 26), entry.subarray(28, 32)]);
  return units.toString("utf16le").replace(/[\0\uffff].*$/s, "");
}

function shortName(entry: Buffer): string {
  const flags = entry.readUInt8(12);
  const text = (from: number, to: number, lower: number) => {
    const part = entry.toString("latin1", from, to).trimEnd();
    return (flags & lower) === 0 ? part : part.toLowerCase();
  };
  const extension = text(8, 11, LOWER_EXTENSION);
  return extension === "" ? text(0, 8, LOWER_NAME) : `${text(0, 8, LOWER_NAME)}.${extension}`;
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "");
}

function isSame(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
