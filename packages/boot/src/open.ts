import { readFile } from "node:fs/promises";
import { Bootlog, SectorFile } from "./bootlog.ts";
import { EspBootControl } from "./control.ts";
import { BootStateError } from "./core/errors.ts";
import { ESP_PATHS } from "./core/layout.ts";
import { readBootFiles } from "./deployment.ts";
import { MountedEsp } from "./esp-fs.ts";
import type { BootControl } from "./port.ts";

export interface OpenBootOptions {
  /** Where the ESP is mounted, writable. */
  readonly esp: string;
  /** The bootlog partition's device file. */
  readonly bootlog: string;
  /** The kernel's command line. Default: that of the running kernel. */
  readonly cmdline?: string;
}

/**
 * Opens what decides this machine's next boot.
 *
 * @throws BootStateError when the folder is not an ESP of ours
 */
export async function openBoot(options: OpenBootOptions): Promise<BootControl> {
  const esp = new MountedEsp(options.esp);
  if ((await esp.list(ESP_PATHS.entries)).length === 0) {
    throw new BootStateError(`${options.esp} is no ESP with boot entries: is it mounted?`, { esp: options.esp });
  }
  const bootlog = new Bootlog(new SectorFile(options.bootlog));
  await bootlog.read().catch((cause: unknown) => {
    throw new BootStateError(`cannot read the bootlog ${options.bootlog}`, { bootlog: options.bootlog }, { cause });
  });
  const cmdline = options.cmdline ?? (await readFile("/proc/cmdline", "utf8"));
  return new EspBootControl({ esp, bootlog, cmdline, readBootFiles });
}
