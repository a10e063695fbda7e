import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ImageBuildError } from "./errors.ts";
import { SECTOR_BYTES } from "./gpt.ts";
import { run } from "./run.ts";

/** Debian's grub-pc-bin, on the build host. */
export const GRUB_DIRECTORY = "/usr/lib/grub/i386-pc";

/** What `grub.cfg` uses; GRUB on a node has no module files. */
const MODULES =
  "biosdisk part_gpt fat linux boot loadenv test configfile normal echo sleep reboot serial terminal".split(" ");

/** Places in boot.img (grub/i386/pc/boot.h) and at the end of diskboot.img (blocklists grow downwards). */
const KERNEL_SECTOR_OFFSET = 0x5c;
const DRIVE_CHECK_OFFSET = 0x66;
const FIRST_BLOCKLIST_OFFSET = SECTOR_BYTES - 12;

/** GRUB as a BIOS finds it. */
export interface GrubImages {
  /** For the first sector of the disk. */
  readonly bootCode: Uint8Array;
  /** For the BIOS boot partition. */
  readonly core: Uint8Array;
}

/**
 * GRUB for BIOS: its core image, whose configuration is `/grub/grub.cfg` on partition `espNumber` of the disk it was
 * started from, and the boot sector that loads it. `coreSector` is where the core image will be. No grub-install: it
 * wants a device, and all it does here is set two numbers.
 */
export async function makeGrub(workDir: string, espNumber: number, coreSector: number): Promise<GrubImages> {
  const file = join(workDir, "grub-core.img");
  const args = ["-O", "i386-pc", "-d", GRUB_DIRECTORY, "-p", `(,gpt${espNumber})/grub`, "-o", file, ...MODULES];
  await run("grub-mkimage", args);
  const boot = await readFile(join(GRUB_DIRECTORY, "boot.img"));
  return {
    bootCode: patchBootSector(boot, coreSector),
    core: patchCore(await readFile(file), coreSector),
  };
}

/** The boot sector reads the first sector of the core image from there. Pure. */
export function patchBootSector(image: Uint8Array, coreSector: number): Uint8Array {
  if (image.length !== SECTOR_BYTES)
    throw new ImageBuildError(`boot.img has ${image.length} bytes, not ${SECTOR_BYTES}`);
  const sector = Buffer.from(image);
  sector.writeBigUInt64LE(BigInt(coreSector), KERNEL_SECTOR_OFFSET);
  // A workaround for BIOSes that give a wrong drive number is a jump over it by default: a disk's number is then forced.
  sector.writeUInt16LE(0x9090, DRIVE_CHECK_OFFSET);
  return sector;
}

/** The first sector of the core image reads the rest, which follows it. Pure. */
export function patchCore(image: Uint8Array, coreSector: number): Uint8Array {
  const core = Buffer.alloc(Math.ceil(image.length / SECTOR_BYTES) * SECTOR_BYTES);
  core.set(image);
  const rest = core.length / SECTOR_BYTES - 1;
  if (rest < 1 || rest > 0xffff) throw new ImageBuildError(`GRUB's core image has ${image.length} bytes`);
  core.writeBigUInt64LE(BigInt(coreSector + 1), FIRST_BLOCKLIST_OFFSET);
  core.writeUInt16LE(rest, FIRST_BLOCKLIST_OFFSET + 8);
  return core;
}
