import { applySteps, readEsp, removeDurably } from "./apply.ts";
import type { Bootlog } from "./bootlog.ts";
import type { BootStage } from "./core/bootlog.ts";
import { argumentOf, checkOptions } from "./core/entry-file.ts";
import { entryId, isTries, numberOf } from "./core/entry-name.ts";
import { BootEntryError, BootStateError, EspFullError } from "./core/errors.ts";
import { deploymentOf, ESP_PATHS, kernelPaths, TRIES_DEFAULT, TRIES_MAX } from "./core/layout.ts";
import { entryOptions } from "./core/options.ts";
import { type BootTarget, type EspListing, planTransition } from "./core/plan.ts";
import { readBootState } from "./core/read-state.ts";
import { explainFailure } from "./core/reason.ts";
import { type BootEntry, type BootState, type Firmware, type LoaderView, viewOf } from "./core/state.ts";
import { type BootFiles, bootChecksum } from "./deployment.ts";
import { type EspFs, writeDurably } from "./esp-fs.ts";
import type { BootableDeployment, BootControl, BootStatus, RolledBack } from "./port.ts";

/** Room for folders, entries and the file allocation table's own rounding. */
const ESP_SLACK_BYTES = 64 * 1024;
/** How many boot attempts {@link BootStatus} tells of. */
const ATTEMPTS_TOLD = 16;

export interface BootParts {
  readonly esp: EspFs;
  readonly bootlog: Bootlog;
  /** The running kernel's command line. */
  readonly cmdline: string;
  readonly readBootFiles: (deployment: BootableDeployment) => Promise<BootFiles>;
}

interface Read {
  readonly listing: EspListing;
  readonly state: BootState;
  readonly view: LoaderView;
  readonly booted: BootEntry | undefined;
}

/** {@link BootControl} over ports. Calls are taken one after the other. */
export class EspBootControl implements BootControl {
  readonly #parts: BootParts;
  readonly #firmware: Firmware | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(parts: BootParts) {
    this.#parts = parts;
    this.#firmware = firmwareOf(parts.cmdline);
  }

  async state(): Promise<BootStatus> {
    const { state, view, booted } = await this.#read();
    const { records } = await this.#parts.bootlog.read();
    const failed = failedTrial({ state, view, booted });
    const rolledBack: RolledBack | undefined = failed && {
      id: failed.entry.id,
      deployment: failed.entry.deployment,
      ...(failed.entry.version === undefined ? {} : { version: failed.entry.version }),
      reason: explainFailure(failed.trial, records),
    };
    return {
      ...state,
      firmware: this.#firmware,
      default: view.default,
      ...(view.trial === undefined ? {} : { trial: view.trial }),
      ...(booted === undefined ? {} : { bootedEntry: booted }),
      bootedIsTrial: booted !== undefined && booted.id === view.trial?.id,
      ...(rolledBack === undefined ? {} : { rolledBack }),
      attempts: records.slice(-ATTEMPTS_TOLD),
    };
  }

  writeTrial(deployment: BootableDeployment, options: { readonly tries?: number } = {}): Promise<BootEntry> {
    const tries = options.tries ?? TRIES_DEFAULT;
    if (!isTries(tries)) throw new BootEntryError(`${tries} tries: a whole number from 1 to ${TRIES_MAX} is needed`);
    return this.#inTurn(async () => {
      const files = await this.#parts.readBootFiles(deployment);
      const read = await this.#read();
      const id = entryId(await this.#nextNumber(read.state));
      return await this.#switchTo(read, tries, files, {
        id,
        number: numberOf(id) ?? 0,
        deployment: deployment.id,
        bootcsum: files.bootcsum,
        options: entryOptions(files.imageArguments, deployment.kernelArgs ?? [], { id, deployment: deployment.id }),
        ...(deployment.version === undefined ? {} : { version: deployment.version }),
      });
    });
  }

  /** Writes the kernel where it is missing, then the entry, then makes it the trial of both loaders. */
  async #switchTo(read: Read, tries: number, files: BootFiles | undefined, entry: BootEntry): Promise<BootEntry> {
    const good = goodEntries(read);
    if (deploymentOf(argumentOf(entry.options, "ostree") ?? "") === undefined) {
      throw new BootEntryError(`deployment ${JSON.stringify(entry.deployment)} is not <commit>.<serial>`);
    }
    checkOptions(entry.options);
    const keep = files === undefined ? good.keep : await this.#writeKernel(read, good.keep, files);
    const view: LoaderView = { default: good.default.id, trial: { id: entry.id, triesLeft: tries, triesDone: 0 } };
    await this.#parts.bootlog.announceTrial(entry.id);
    await this.#become({ entries: [...keep, entry], view }, "other");
    return entry;
  }

  markGood(): Promise<void> {
    return this.#inTurn(async () => {
      const read = await this.#read();
      const { view, booted, state } = read;
      if (booted === undefined) throw new BootStateError(this.#whyNotBooted());
      const bootedIsTrial = booted.id === view.trial?.id;
      const pending = !bootedIsTrial && view.trial !== undefined && view.trial.triesLeft > 0 ? view.trial : undefined;
      const trialEntry = pending && state.entries.find((entry) => entry.id === pending.id);
      const older = state.entries.filter(
        (entry) => entry.number < booted.number && entry.deployment !== booted.deployment,
      );
      // One older entry stays, for a rollback by hand: the last good one if this was a trial.
      const previous = older.find((entry) => entry.id === view.default) ?? older.at(-1);
      const entries = [...(previous === undefined ? [] : [previous]), booted];
      if (pending !== undefined && trialEntry !== undefined) {
        await this.#become({ entries: [...entries, trialEntry], view: { default: booted.id, trial: pending } }, "own");
      } else {
        await this.#become({ entries, view: { default: booted.id } }, "own");
        await this.#parts.bootlog.announceTrial(undefined);
      }
      await this.#parts.bootlog.record(booted.id, "good", undefined);
    });
  }

  rollback(): Promise<BootEntry> {
    return this.#inTurn(async () => {
      const read = await this.#read();
      const { state, view, booted } = read;
      const { trial } = view;
      if (trial !== undefined && (booted === undefined || booted.id === trial.id)) {
        const good = goodEntries(read);
        const entry = state.entries.find(({ id }) => id === trial.id);
        if (entry === undefined) throw new BootStateError(`the trial ${trial.id} has no entry`);
        const given = { id: trial.id, triesLeft: 0, triesDone: trial.triesDone };
        const entries = [...good.keep.filter(({ id }) => id !== trial.id), entry];
        await this.#become({ entries, view: { default: good.default.id, trial: given } }, "own");
        return good.default;
      }
      const current = booted ?? state.entries.find(({ id }) => id === view.default);
      const previous = state.entries.findLast(
        (entry) => current !== undefined && entry.number < current.number && entry.deployment !== current.deployment,
      );
      if (previous === undefined) throw new BootEntryError("there is no earlier system to go back to");
      const id = entryId(await this.#nextNumber(state));
      return await this.#switchTo(read, TRIES_DEFAULT, undefined, {
        ...previous,
        id,
        number: numberOf(id) ?? 0,
        options: entryOptions(previous.options.split(" "), [], { id, deployment: previous.deployment }),
      });
    });
  }

  recordStage(stage: BootStage, detail?: string): Promise<void> {
    return this.#inTurn(async () => {
      const { booted } = await this.#read();
      if (booted === undefined) throw new BootStateError(this.#whyNotBooted());
      await this.#parts.bootlog.record(booted.id, stage, detail);
    });
  }

  async #read(): Promise<Read> {
    const listing = await readEsp(this.#parts.esp);
    const state = readBootState(listing);
    const view = viewOf(state, this.#firmware ?? "direct");
    const id = argumentOf(this.#parts.cmdline, "keelson.entry");
    return { listing, state, view, booted: state.entries.find((entry) => entry.id === id) };
  }

  /** Plans from what is there now, and does it. */
  async #become(target: BootTarget, first: "own" | "other"): Promise<void> {
    const listing = await readEsp(this.#parts.esp);
    const sorted = { ...target, entries: target.entries.toSorted((a, b) => a.number - b.number) };
    await applySteps(this.#parts.esp, planTransition(listing, sorted, { own: this.#firmware ?? "direct", first }));
  }

  /**
   * Puts a kernel on the ESP unless it is there whole; first checks the space, and makes some where needed. Returns the
   * entries that stay.
   */
  async #writeKernel(read: Read, keep: readonly BootEntry[], files: BootFiles): Promise<readonly BootEntry[]> {
    const { esp } = this.#parts;
    const paths = kernelPaths(files.bootcsum);
    if (await this.#isWhole(paths, files.bootcsum)) return keep;
    const kept = await this.#makeRoom(read, keep, files);
    await writeDurably(esp, paths.kernel, files.kernel);
    await writeDurably(esp, paths.initramfs, files.initramfs);
    await esp.sync(ESP_PATHS.kernels);
    if (!(await this.#isWhole(paths, files.bootcsum))) {
      throw new BootStateError(
        `what was written to ${paths.directory} on the ESP reads back differently: check the disk`,
      );
    }
    return kept;
  }

  async #isWhole(paths: { kernel: string; initramfs: string }, bootcsum: string): Promise<boolean> {
    const kernel = await this.#parts.esp.read(paths.kernel);
    const initramfs = await this.#parts.esp.read(paths.initramfs);
    return kernel !== undefined && initramfs !== undefined && bootChecksum(kernel, initramfs) === bootcsum;
  }

  async #makeRoom(read: Read, keep: readonly BootEntry[], files: BootFiles): Promise<readonly BootEntry[]> {
    const { esp } = this.#parts;
    const { clusterBytes } = await esp.space();
    const clusters = (bytes: number) => Math.ceil(bytes / clusterBytes) * clusterBytes;
    const neededBytes = clusters(files.kernel.length) + clusters(files.initramfs.length) + ESP_SLACK_BYTES;
    const fits = async () => (await esp.space()).freeBytes >= neededBytes;
    // A folder of this name is one that was not finished: it goes even when there is room.
    if (read.listing.kernels.has(files.bootcsum)) await removeDurably(esp, kernelPaths(files.bootcsum).directory);
    const { view } = read;
    const stays = { default: view.default, ...(view.trial === undefined ? {} : { trial: view.trial }) };
    const isTrial = (entry: BootEntry) => entry.id === view.trial?.id;
    const tried = read.state.entries.filter(isTrial);
    if (!(await fits()))
      await this.#become({ entries: [...keep.filter((e) => !isTrial(e)), ...tried], view: stays }, "own");
    if (await fits()) return keep;
    // The last resort: what is neither the last good one nor running.
    const needed = keep.filter((entry) => entry.id === view.default || entry.id === read.booted?.id);
    const needs = { default: view.default };
    await this.#become({ entries: needed, view: needs }, "own");
    if (await fits()) return needed;
    const { freeBytes } = await esp.space();
    throw new EspFullError(
      `the ESP has ${freeBytes} bytes free, and a kernel with its initramfs needs ${neededBytes}: remove files there that are not Keelson's`,
      { freeBytes, neededBytes },
    );
  }

  /** Numbers are never used twice, so that records of old attempts mean one entry. */
  async #nextNumber(state: BootState): Promise<number> {
    const { records, head } = await this.#parts.bootlog.read();
    const ids = [
      ...state.entries.map((entry) => entry.id),
      ...records.map((record) => record.entry),
      ...[head?.entry, state.grub.default, state.grub.trial?.id, state.systemdBoot.trial?.id].filter(
        (x) => x !== undefined,
      ),
    ];
    return Math.max(0, ...ids.map((id) => numberOf(id) ?? 0)) + 1;
  }

  #whyNotBooted(): string {
    const id = argumentOf(this.#parts.cmdline, "keelson.entry");
    return id === undefined
      ? "this system was not booted from an entry (no keelson.entry= on the kernel's command line)"
      : `the entry ${id} that this system was booted from is not on the ESP`;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }
}

/** The last good entry, and all that stay while a new trial is written. */
function goodEntries({ state, view, booted }: Read): { default: BootEntry; keep: BootEntry[] } {
  const found = state.entries.find((entry) => entry.id === view.default) ?? booted;
  if (found === undefined) throw new BootStateError("no entry on the ESP is known to be good; nothing is changed");
  return { default: found, keep: state.entries.filter((entry) => entry.number <= found.number) };
}

/** A trial that used up its tries while something else runs. */
function failedTrial({ state, view, booted }: Pick<Read, "state" | "view" | "booted">) {
  const { trial } = view;
  if (trial === undefined || trial.triesLeft > 0 || booted?.id === trial.id) return undefined;
  const entry = state.entries.find(({ id }) => id === trial.id);
  return entry && { trial, entry };
}

const LOADERS: Readonly<Record<string, Firmware>> = { grub: "bios", "systemd-boot": "uefi", direct: "direct" };

/** Which loader booted the running kernel. Pure. */
export function firmwareOf(cmdline: string): Firmware | undefined {
  return LOADERS[argumentOf(cmdline, "keelson.loader") ?? ""];
}
