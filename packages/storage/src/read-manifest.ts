import { readRecords } from "./check-log.ts";
import { readVarint } from "./snappy.ts";

/** What a LevelDB manifest says exists. */
export interface Manifest {
  /** Logs from this number on are replayed; this one must be there. */
  readonly logNumber: number;
  /** Sizes of the live tables by file number, in bytes. */
  readonly tables: ReadonlyMap<number, number>;
}

/** Tags of a version edit and the shapes of their fields: v a varint, s a string with its length (db/version_edit.cc). */
const FIELDS: Readonly<Record<number, string>> = {
  1: "s",
  2: "v",
  3: "v",
  4: "v",
  5: "vs",
  6: "vv",
  7: "vvvss",
  9: "v",
};

/** Replays the version edits of a manifest. Undefined when one is malformed. */
export function readManifest(manifest: Uint8Array): Manifest | undefined {
  let logNumber = 0;
  const tables = new Map<number, number>();
  for (const record of readRecords(manifest)) {
    for (let at = 0; at < record.length; ) {
      const tag = readVarint(record, at);
      const fields = tag && readFields(record, tag.next, FIELDS[tag.value]);
      if (fields === undefined) return undefined;
      const [first = 0, second = 0, third = 0] = fields.numbers;
      if (tag?.value === 2) logNumber = first;
      if (tag?.value === 6) tables.delete(second);
      if (tag?.value === 7) tables.set(second, third);
      at = fields.next;
    }
  }
  return { logNumber, tables };
}

function readFields(record: Uint8Array, start: number, shape: string | undefined) {
  if (shape === undefined) return undefined;
  const numbers: number[] = [];
  let at = start;
  for (const kind of shape) {
    const n = readVarint(record, at);
    if (n === undefined) return undefined;
    at = n.next;
    if (kind === "v") numbers.push(n.value);
    else at += n.value;
  }
  return at <= record.length ? { numbers, next: at } : undefined;
}
