import { parseEntryFile, parseGrubEntry } from "./entry-file.ts";
import { type EntryName, entryId, numberOf, parseEntryName } from "./entry-name.ts";
import { decodeGrubenv, viewFromGrubenv } from "./grubenv.ts";
import type { BootEntry, BootState, LoaderView } from "./state.ts";

/** What is on an ESP, as far as it decides what boots. */
export interface EspSnapshot {
  /** Files of `/loader/entries`: name → text. */
  readonly entryFiles: ReadonlyMap<string, string>;
  /** `/grub/grubenv`, if there is one. */
  readonly grubenv: Uint8Array | undefined;
  /** GRUB's part of entries: files of `/grub`, name → text. An entry that systemd-boot has not is one that GRUB has. */
  readonly grubFiles?: ReadonlyMap<string, string>;
}

/**
 * Reads the state of an ESP. Files that are not ours, and entries that are damaged, are as if they were not there: a
 * boot must not fail over a file that another entry does not need. Pure.
 */
export function readBootState({ entryFiles, grubenv, grubFiles }: EspSnapshot): BootState {
  const entries: BootEntry[] = [];
  const names: EntryName[] = [];
  for (const [file, text] of entryFiles) {
    const name = parseEntryName(file);
    const entry = name === undefined ? undefined : tryOrUndefined(() => parseEntryFile(name.number, text));
    if (name === undefined || entry === undefined) continue;
    names.push(name);
    // A cut in the middle of a rename may leave both names of one entry.
    if (!entries.some((other) => other.number === entry.number)) entries.push(entry);
  }
  for (const [file, text] of grubFiles ?? []) {
    const number = numberOf(file.replace(/\.cfg$/, ""));
    if (number === undefined || entries.some((entry) => entry.number === number)) continue;
    const entry = tryOrUndefined(() => parseGrubEntry(number, text));
    if (entry !== undefined) entries.push(entry);
  }
  entries.sort((a, b) => a.number - b.number);
  const variables = grubenv === undefined ? undefined : tryOrUndefined(() => decodeGrubenv(grubenv));
  return {
    entries,
    grub: variables === undefined ? { default: undefined } : viewFromGrubenv(variables),
    systemdBoot: viewFromNames(names),
  };
}

/** What systemd-boot will do: the counters are in the names, and the last good entry is the highest without any. Pure. */
export function viewFromNames(names: readonly EntryName[]): LoaderView {
  const byNumber = names.toSorted((a, b) => b.number - a.number);
  const good = byNumber.find((name) => name.counters === undefined);
  const counted = byNumber.filter((name) => good === undefined || name.number > good.number);
  // Two names of one entry are what a power cut left: the one with tries left sorts first.
  const [newest] = counted;
  const tried = counted.find((name) => name.number === newest?.number && name.counters?.left !== 0) ?? newest;
  const view = { default: good === undefined ? undefined : entryId(good.number) };
  if (tried?.counters === undefined) return view;
  const { left, done } = tried.counters;
  return { ...view, trial: { id: entryId(tried.number), triesLeft: left, triesDone: done } };
}

function tryOrUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
