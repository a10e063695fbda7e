import { BootStateError } from "./errors.ts";
import { type BootEntry, type BootState, type Firmware, type LoaderView, viewOf } from "./state.ts";

/** Which entry boots now, and the state that must be on disk before it does. */
export interface BootDecision {
  readonly entry: BootEntry;
  readonly next: BootState;
}

/**
 * What a boot loader does: a trial with tries left loses one and boots; else the last good entry boots. The same rule in
 * three places: here (and so in the direct path of tests), in GRUB's script (`grub-config.ts`), and in systemd-boot
 * (src/boot/efi/boot.c: entries without tries left sort last, the counter in the name goes down before the start).
 * Pure.
 *
 * @throws BootStateError when there is nothing to boot
 */
export function decideBoot(state: BootState, firmware: Firmware): BootDecision {
  const view = viewOf(state, firmware);
  const { trial } = view;
  const tried = trial !== undefined && trial.triesLeft > 0 ? entryOf(state, trial.id) : undefined;
  if (trial !== undefined && tried !== undefined) {
    const counted = { ...trial, triesLeft: trial.triesLeft - 1, triesDone: trial.triesDone + 1 };
    return { entry: tried, next: withView(state, firmware, { ...view, trial: counted }) };
  }
  // With no good entry at all, a trial that used up its tries is still better than nothing.
  const entry = entryOf(state, view.default) ?? entryOf(state, trial?.id) ?? state.entries.at(-1);
  if (entry === undefined) {
    throw new BootStateError(`nothing to boot: the ESP has no entry (last good: ${view.default ?? "none"})`);
  }
  return { entry, next: state };
}

function entryOf(state: BootState, id: string | undefined): BootEntry | undefined {
  return id === undefined ? undefined : state.entries.find((entry) => entry.id === id);
}

function withView(state: BootState, firmware: Firmware, view: LoaderView): BootState {
  return firmware === "uefi" ? { ...state, systemdBoot: view } : { ...state, grub: view };
}
