/** GPT names of the partitions, in their order on the disk. */
export const PARTITION_NAMES = { bios: "bios", esp: "esp", bootlog: "keelson-bootlog", root: "root" } as const;

/** How often a new system is tried before the last good one boots again. */
export const TRIES_DEFAULT = 3;
/** GRUB counts with one digit, since its scripts cannot subtract. */
export const TRIES_MAX = 9;

/** Paths on the ESP, from its root. */
export const ESP_PATHS = {
  /** systemd-boot's entries (Boot Loader Specification type 1). */
  entries: "/loader/entries",
  loaderConf: "/loader/loader.conf",
  grub: "/grub",
  grubConfig: "/grub/grub.cfg",
  grubenv: "/grub/grubenv",
  /** One folder per kernel with its initramfs, named by their checksum. */
  kernels: "/keelson",
  uefiLoader: "/EFI/BOOT/BOOTX64.EFI",
} as const;

/** Where a kernel and its initramfs are on the ESP. Pure. */
export function kernelPaths(bootcsum: string): { directory: string; kernel: string; initramfs: string } {
  const directory = `${ESP_PATHS.kernels}/${bootcsum}`;
  return { directory, kernel: `${directory}/vmlinuz`, initramfs: `${directory}/initramfs` };
}

/** Where GRUB's part of an entry is on the ESP. Pure. */
export function grubEntryPath(id: string): string {
  return `${ESP_PATHS.grub}/${id}.cfg`;
}

/** The deployment's folder as the `ostree=` argument names it. Pure. */
export function deploymentPath(deployment: string): string {
  return `${DEPLOYMENTS}/${deployment}`;
}
const DEPLOYMENTS = "/ostree/deploy/keelson/deploy";

/** The deployment that an `ostree=` argument names, or undefined when it is not one of ours. Pure. */
export function deploymentOf(ostreeArgument: string): string | undefined {
  const prefix = `${DEPLOYMENTS}/`;
  const id = ostreeArgument.startsWith(prefix) ? ostreeArgument.slice(prefix.length) : "";
  return /^[0-9a-f]{64}\.\d{1,9}$/.test(id) ? id : undefined;
}
