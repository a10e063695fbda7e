import { TRIES_MAX } from "./layout.ts";

/** The name of an entry's file: `keelson-<n>.conf`, or with systemd-boot's counters `keelson-<n>+<left>[-<done>].conf`. */
export interface EntryName {
  readonly number: number;
  /** Absent: the entry is good. */
  readonly counters?: { readonly left: number; readonly done: number };
}

/** Reads a file name; undefined for files that are not ours. Pure. */
export function parseEntryName(name: string): EntryName | undefined {
  const match = /^keelson-([1-9]\d{0,8})(?:\+(\d{1,4})(?:-(\d{1,4}))?)?\.conf$/.exec(name);
  if (match === null) return undefined;
  const [, number, left, done] = match;
  if (left === undefined) return { number: Number(number) };
  return { number: Number(number), counters: { left: Number(left), done: Number(done ?? 0) } };
}

/** As systemd-boot writes it: no `-<done>` while nothing was tried. Pure. */
export function formatEntryName({ number, counters }: EntryName): string {
  if (counters === undefined) return `${entryId(number)}.conf`;
  const done = counters.done > 0 ? `-${counters.done}` : "";
  return `${entryId(number)}+${counters.left}${done}.conf`;
}

/** Pure. */
export function entryId(number: number): string {
  return `keelson-${number}`;
}

/** The number in an id, or undefined. Pure. */
export function numberOf(id: string): number | undefined {
  return /^keelson-[1-9]\d{0,8}$/.test(id) ? Number(id.slice("keelson-".length)) : undefined;
}

/** Whether a number of tries can be counted by every loader. Pure. */
export function isTries(tries: number): boolean {
  return Number.isInteger(tries) && tries >= 1 && tries <= TRIES_MAX;
}
