import { open } from "node:fs/promises";
import {
  BOOTLOG_SECTORS,
  type BootlogHead,
  type BootRecord,
  type BootStage,
  decodeHead,
  encodeHead,
  encodeRecord,
  readBootlog,
  recordSector,
} from "./core/bootlog.ts";
import { SECTOR_BYTES } from "./core/grubenv.ts";

/** A small partition, by sectors. */
export interface SectorDevice {
  /** All of it. */
  read(): Promise<Uint8Array>;
  /** Replaces one sector, durably. A power cut leaves the old one or the new one. */
  writeSector(sector: number, data: Uint8Array): Promise<void>;
}

/** What a bootlog partition has at most; it is read whole. */
const PARTITION_BYTES_MAX = 4 << 20;

/** A partition's device file, or an image of one. */
export class SectorFile implements SectorDevice {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async read(): Promise<Uint8Array> {
    await using file = await open(this.#path, "r");
    const buffer = new Uint8Array(PARTITION_BYTES_MAX);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
      if (bytesRead === 0) return buffer.subarray(0, length);
      length += bytesRead;
    }
  }

  async writeSector(sector: number, data: Uint8Array): Promise<void> {
    await using file = await open(this.#path, "r+");
    await file.write(data, 0, data.length, sector * SECTOR_BYTES);
    await file.sync();
  }
}

/** The log of boot attempts. */
export class Bootlog {
  readonly #device: SectorDevice;
  #own: { sequence: number; attempt: number } | undefined;

  constructor(device: SectorDevice) {
    this.#device = device;
  }

  async read(): Promise<{ records: BootRecord[]; head: BootlogHead | undefined; sectors: number }> {
    const bytes = await this.#device.read();
    const head = decodeHead(bytes.subarray(0, SECTOR_BYTES));
    return { records: readBootlog(bytes), head, sectors: Math.floor(bytes.length / SECTOR_BYTES) };
  }

  /** Tells the initramfs which entry is a trial; undefined: none. */
  async announceTrial(entry: string | undefined): Promise<void> {
    const { head } = await this.read();
    if (head?.trial === entry) return;
    const { trial: _, ...rest } = head ?? { next: 0, entry: "none", attempt: 0 };
    await this.#writeHead({ ...rest, ...(entry === undefined ? {} : { trial: entry }) });
  }

  /** Replaces this boot's record. The initramfs began it; where it did not, this does. */
  async record(entry: string, stage: BootStage, detail: string | undefined): Promise<void> {
    const { head, sectors } = await this.read();
    this.#own ??= await this.#findOwn(entry, head);
    const { sequence, attempt } = this.#own;
    const record = { sequence, entry, attempt, stage, ...(detail === undefined ? {} : { detail }) };
    await this.#device.writeSector(recordSector(sequence, sectors), encodeRecord(record));
  }

  async #findOwn(entry: string, head: BootlogHead | undefined): Promise<{ sequence: number; attempt: number }> {
    if (head !== undefined && head.entry === entry && head.next > 0) {
      return { sequence: head.next - 1, attempt: head.attempt };
    }
    const own = { sequence: head?.next ?? 0, attempt: 1 };
    await this.#writeHead({ ...head, next: own.sequence + 1, entry, attempt: own.attempt });
    return own;
  }

  async #writeHead(head: BootlogHead): Promise<void> {
    await this.#device.writeSector(BOOTLOG_SECTORS.head, encodeHead(head));
  }
}
