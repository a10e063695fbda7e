import { copyFile, stat } from "node:fs/promises";
import { ProviderUnavailableError } from "../errors.ts";
import type { PowerCutReport } from "../port.ts";
import { NOTHING_LOST } from "../power.ts";
import { type Firmware, qemuArguments, type VmDisk, type VmOptions } from "./arguments.ts";
import { decideDirectBoot } from "./direct.ts";
import type { VolatileDisk } from "./disk/volatile-disk.ts";
import type { Unflushed } from "./disk/write-cache.ts";
import type { VmPower } from "./machine.ts";

/** What machines start with. */
export type FirmwareKind = Firmware["kind"];

/** OVMF as Debian's package ovmf has it. */
const OVMF = { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.fd" } as const;

/** Why machines cannot start with this firmware here; undefined when they can. */
export async function whyNotFirmware(kind: FirmwareKind): Promise<string | undefined> {
  if (kind !== "uefi") return undefined;
  const isThere = (await stat(OVMF.code).catch(() => undefined)) !== undefined;
  return isThere ? undefined : `${OVMF.code} not found: apt-get install ovmf`;
}

export interface PowerOptions {
  readonly firmware: FirmwareKind;
  /** What stands before QEMU's arguments. */
  readonly program: readonly string[];
  readonly vm: Omit<VmOptions, "firmware" | "disk">;
  /** The machine's own disk, raw. */
  readonly disk: string;
  readonly volatile: VolatileDisk | undefined;
  readonly unflushed: Unflushed;
  readonly random: () => number;
  readonly uefiVariables: string;
  /** Where kernels of direct boots are copied to. */
  readonly kernels: string;
  /** For images whose disk has no boot entries. */
  readonly fallback: { readonly kernel: string; readonly initramfs: string } | undefined;
}

/** The power button, the boot loader and the disk's cache of one VM. */
export class QemuPower implements VmPower {
  readonly #options: PowerOptions;

  constructor(options: PowerOptions) {
    this.#options = options;
  }

  async prepareBoot(): Promise<{ argv: readonly string[]; entry?: string }> {
    const { program, vm, disk, volatile } = this.#options;
    const { firmware, entry } = await this.#firmware();
    const vmDisk: VmDisk = volatile === undefined ? { file: disk, format: "raw" } : { nbdSocket: volatile.socket };
    const argv = [...program, ...qemuArguments({ ...vm, firmware, disk: vmDisk })];
    return entry === undefined ? { argv } : { argv, entry };
  }

  async #firmware(): Promise<{ firmware: Firmware; entry?: string }> {
    const { firmware, disk, kernels, fallback, uefiVariables } = this.#options;
    switch (firmware) {
      case "bios":
        return { firmware: { kind: "bios" } };
      case "uefi":
        if ((await stat(uefiVariables).catch(() => undefined)) === undefined) {
          const problem = await whyNotFirmware("uefi");
          if (problem !== undefined) throw new ProviderUnavailableError(problem);
          await copyFile(OVMF.variables, uefiVariables);
        }
        return { firmware: { kind: "uefi", code: OVMF.code, variables: uefiVariables } };
      case "direct": {
        if (fallback !== undefined) return { firmware: { kind: "direct", ...fallback } };
        const { entry, kernel, initramfs, options } = await decideDirectBoot(disk, kernels);
        return { firmware: { kind: "direct", kernel, initramfs, options }, entry };
      }
    }
  }

  async settle(): Promise<void> {
    await this.#options.volatile?.settle();
  }

  async cut(): Promise<PowerCutReport> {
    const { volatile, unflushed, random } = this.#options;
    return (await volatile?.cut(unflushed, random)) ?? NOTHING_LOST;
  }
}
