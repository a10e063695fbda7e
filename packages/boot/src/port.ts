import type { BootRecord, BootStage } from "./core/bootlog.ts";
import type { FailureReason } from "./core/reason.ts";
import type { BootEntry, BootState, Firmware, Trial } from "./core/state.ts";

/** A deployment as the boot writer needs it; `Deployment` of `@keelson/ostree` is one. */
export interface BootableDeployment {
  /** `<commit>.<serial>`. */
  readonly id: string;
  /** Its folder: the kernel is `usr/lib/modules/<version>/{vmlinuz,initramfs.img}` in it. */
  readonly path: string;
  readonly version?: string | undefined;
  /** This machine's own kernel arguments; those of the image are in the tree (`usr/lib/keelson/cmdline`). */
  readonly kernelArgs?: readonly string[] | undefined;
}

/** A trial that was given up, until {@link BootControl.markGood} forgets it. */
export interface RolledBack {
  readonly id: string;
  readonly deployment: string;
  readonly version?: string;
  readonly reason: FailureReason;
}

/** What boots, seen from the running system. */
export interface BootStatus extends BootState {
  /** Undefined when the kernel's command line does not say. */
  readonly firmware: Firmware | undefined;
  /** The last good entry, as the loader that booted us sees it. */
  readonly default: string | undefined;
  /** The entry on trial, likewise. */
  readonly trial?: Trial;
  readonly bootedEntry?: BootEntry;
  /** Whether the running system is the one on trial. */
  readonly bootedIsTrial: boolean;
  readonly rolledBack?: RolledBack;
  /** The newest boot attempts, oldest first. */
  readonly attempts: readonly BootRecord[];
}

/** What decides the next boot; the one owner of the ESP. */
export interface BootControl {
  state(): Promise<BootStatus>;
  /**
   * Makes a deployment the next to boot, for `tries` boots (default 3) until it is marked good. A power cut at any
   * instant leaves the old or the new decision. Removes what no entry needs; earlier failed trials are forgotten.
   *
   * @throws BootEntryError, EspFullError; then nothing that boots has changed
   */
  writeTrial(deployment: BootableDeployment, options?: { readonly tries?: number }): Promise<BootEntry>;
  /**
   * The running system is good: what it was booted as becomes the last good entry, a failed trial is forgotten, and both
   * loaders are brought in step. A trial that was not tried yet stays. May be called at every boot.
   */
  markGood(): Promise<void>;
  /**
   * The previous entry is next. While on trial: the last good one, at once and without further tries. Else the entry
   * before the running one, as a trial.
   *
   * @throws BootEntryError when there is none
   */
  rollback(): Promise<BootEntry>;
  /** Notes how far this boot came, durably. */
  recordStage(stage: BootStage, detail?: string): Promise<void>;
}
