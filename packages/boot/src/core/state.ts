/** How a machine was started: BIOS with GRUB, UEFI with systemd-boot, or a kernel given by the hypervisor. */
export type Firmware = "bios" | "uefi" | "direct";

/** What a boot loader can start: a deployment with its kernel. */
export interface BootEntry {
  /** `keelson-<number>`. */
  readonly id: string;
  /** Counts up with each entry ever written; among entries without tries systemd-boot takes the highest. */
  readonly number: number;
  /** The OS version, for people. */
  readonly version?: string;
  /** `<commit>.<serial>`. */
  readonly deployment: string;
  /** Names the kernel's folder on the ESP. */
  readonly bootcsum: string;
  /** The kernel's command line, with `ostree=` and `keelson.entry=`; without `keelson.loader=`, which each loader adds. */
  readonly options: string;
}

/** An entry that is being tried. */
export interface Trial {
  readonly id: string;
  /** Boots that will still be tried; at 0 the last good entry boots. */
  readonly triesLeft: number;
  readonly triesDone: number;
}

/** What one boot loader will do. */
export interface LoaderView {
  /** The last good entry. */
  readonly default: string | undefined;
  readonly trial?: Trial;
}

/** Everything on the ESP that decides what boots. */
export interface BootState {
  /** By number, lowest first. */
  readonly entries: readonly BootEntry[];
  /** GRUB's, which the direct path follows, too. */
  readonly grub: LoaderView;
  readonly systemdBoot: LoaderView;
}

/** What one kind of firmware will do. Pure. */
export function viewOf(state: BootState, firmware: Firmware): LoaderView {
  return firmware === "uefi" ? state.systemdBoot : state.grub;
}
