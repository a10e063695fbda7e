import { assert, unreachable } from "@keelson/types";
import { formatEntryFile, formatGrubEntry } from "./entry-file.ts";
import { type EntryName, formatEntryName, parseEntryName } from "./entry-name.ts";
import { encodeGrubenv, GRUBENV_BYTES, grubenvFromView, SECTOR_BYTES } from "./grubenv.ts";
import { ESP_PATHS, grubEntryPath, kernelPaths } from "./layout.ts";
import { type EspSnapshot, readBootState } from "./read-state.ts";
import type { BootEntry, Firmware, LoaderView } from "./state.ts";

/** All of an ESP that a change of what boots has to know. */
export interface EspListing extends Required<EspSnapshot> {
  /** Names of the folders in `/keelson`. */
  readonly kernels: ReadonlySet<string>;
}

/** One change of the ESP; durable before the next begins. */
export type EspStep =
  | { readonly do: "write"; readonly path: string; readonly data: Uint8Array }
  /** Replaces the first sector of a file in place. */
  | { readonly do: "sector"; readonly path: string; readonly data: Uint8Array }
  | { readonly do: "rename"; readonly from: string; readonly to: string }
  | { readonly do: "remove"; readonly path: string };

/** What both loaders are to do. */
export interface BootTarget {
  /** All that stay: the last good one, older ones, and the trial, which is newer. Their kernels are on the ESP. */
  readonly entries: readonly BootEntry[];
  readonly view: LoaderView;
}

/**
 * The steps from what is on an ESP to what should be: first files that nothing refers to yet, then one switch per
 * loader (a sector of grubenv; names in `/loader/entries`), then removal of what no entry needs. Each loader changes its mind
 * in one step. `first` says whose: a new system is decided last by the loader that boots this machine, a verdict
 * about it first. Pure.
 */
export function planTransition(
  listing: EspListing,
  target: BootTarget,
  order: { readonly own: Firmware; readonly first: "own" | "other" },
): EspStep[] {
  checkTarget(target);
  const names = planNames(listing, target);
  const grub = [...planGrubenv(listing, target.view)];
  const ownIsGrub = order.own !== "uefi";
  const grubFirst = (order.first === "own") === ownIsGrub;
  return [
    ...planGrubFiles(listing, target),
    ...names.prepare,
    ...(grubFirst ? [...grub, ...names.switch] : [...names.switch, ...grub]),
    ...names.remove,
    ...planRemoval(listing, target),
  ];
}

function checkTarget({ entries, view }: BootTarget): void {
  const number = (id: string) => entries.find((entry) => entry.id === id)?.number;
  const good = view.default === undefined ? undefined : number(view.default);
  assert(view.default === undefined || good !== undefined, "the last good entry stays", { default: view.default });
  for (const entry of entries) {
    const isTrial = entry.id === view.trial?.id;
    const isInOrder = good === undefined || (isTrial ? entry.number > good : entry.number <= good);
    assert(
      isInOrder,
      "systemd-boot takes the highest number, so a trial is above the last good entry and others below",
      {
        entry: entry.id,
        default: view.default,
      },
    );
  }
  assert(view.trial === undefined || number(view.trial.id) !== undefined, "the trial has an entry");
}

function planGrubFiles(listing: EspListing, { entries }: BootTarget): EspStep[] {
  return entries.flatMap((entry): EspStep[] => {
    const path = grubEntryPath(entry.id);
    const isKnown = filesOf(listing, entry).length > 0;
    // A file without systemd-boot's may be what a power cut left of writing it; one with it was finished before.
    if (isKnown && listing.grubFiles.has(baseName(path))) return [];
    return [{ do: "write", path, data: encode(formatGrubEntry(entry)) }];
  });
}

/**
 * systemd-boot's files. Each is written whole under a name that systemd-boot does not read, and then gets its name; only then
 * does a name with other counters go. FAT's rename may lose both names when the power goes, so a file that something
 * depends on is never renamed.
 */
function planNames(listing: EspListing, { entries, view }: BootTarget) {
  const steps = { prepare: [] as EspStep[], switch: [] as EspStep[], remove: [] as EspStep[] };
  const settled = new Set<string>();
  for (const entry of entries) {
    const name = formatEntryName(nameOf(entry, view));
    settled.add(name);
    const present = filesOf(listing, entry);
    const others = present.filter((file) => file !== name);
    for (const file of others) settled.add(file);
    if (!present.includes(name)) {
      const [from, to] = [`${ESP_PATHS.entries}/${entry.id}.tmp`, `${ESP_PATHS.entries}/${name}`];
      settled.add(`${entry.id}.tmp`);
      const [model] = present;
      const text = model === undefined ? formatEntryFile(entry) : (listing.entryFiles.get(model) ?? "");
      steps.prepare.push({ do: "write", path: from, data: encode(text) });
      // A damaged file has the name.
      if (listing.entryFiles.has(name)) steps.switch.push({ do: "remove", path: to });
      steps.switch.push({ do: "rename", from, to });
    }
    for (const file of others) steps.switch.push({ do: "remove", path: `${ESP_PATHS.entries}/${file}` });
  }
  for (const file of listing.entryFiles.keys()) {
    if (settled.has(file) || !/^keelson-\d.*\.(conf|tmp)$/.test(file)) continue;
    steps.remove.push({ do: "remove", path: `${ESP_PATHS.entries}/${file}` });
  }
  return steps;
}

/** systemd-boot's files of an entry that it can read; more than one after a power cut in a rename. */
function filesOf(listing: EspListing, entry: BootEntry): string[] {
  return [...listing.entryFiles.keys()].filter((file) => {
    if (parseEntryName(file)?.number !== entry.number) return false;
    const one = readBootState({
      entryFiles: new Map([[file, listing.entryFiles.get(file) ?? ""]]),
      grubenv: undefined,
    });
    return one.entries.length === 1;
  });
}

function nameOf(entry: BootEntry, { trial }: LoaderView): EntryName {
  if (trial?.id !== entry.id) return { number: entry.number };
  return { number: entry.number, counters: { left: trial.triesLeft, done: trial.triesDone } };
}

function planGrubenv({ grubenv }: EspListing, view: LoaderView): EspStep[] {
  const block = encodeGrubenv(grubenvFromView(view));
  if (grubenv === undefined || grubenv.length !== GRUBENV_BYTES) {
    return [{ do: "write", path: ESP_PATHS.grubenv, data: block }];
  }
  const sector = block.subarray(0, SECTOR_BYTES);
  const isThere = sector.every((byte, i) => byte === grubenv[i]);
  return isThere ? [] : [{ do: "sector", path: ESP_PATHS.grubenv, data: sector }];
}

/** What no entry of the target needs. */
function planRemoval(listing: EspListing, { entries }: BootTarget): EspStep[] {
  const grub = new Set(entries.map((entry) => baseName(grubEntryPath(entry.id))));
  const kernels = new Set(entries.map((entry) => entry.bootcsum));
  return [
    ...[...listing.grubFiles.keys()]
      .filter((file) => /^keelson-\d+\.cfg$/.test(file) && !grub.has(file))
      .map((file): EspStep => ({ do: "remove", path: `${ESP_PATHS.grub}/${file}` })),
    ...[...listing.kernels]
      .filter((name) => !kernels.has(name))
      .map((name): EspStep => ({ do: "remove", path: kernelPaths(name).directory })),
  ];
}

/** A step for people and logs. Pure. */
export function describeStep(step: EspStep): string {
  switch (step.do) {
    case "write":
      return `write ${step.path} (${step.data.length} bytes)`;
    case "sector":
      return `replace the first sector of ${step.path}`;
    case "rename":
      return `rename ${step.from} to ${step.to}`;
    case "remove":
      return `remove ${step.path}`;
    default:
      return unreachable(step);
  }
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function encode(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}
