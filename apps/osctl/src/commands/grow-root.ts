import { realpath } from "node:fs/promises";
import { Command } from "commander";
import type { Io } from "../io.ts";

/** Where image/initramfs/init looks for it. */
const MARKER = "/var/lib/keelson/grown";

/** For keelson-grow.service: makes the root as large as the disk. */
export function growRootCommand(io: Io): Command {
  return new Command("grow-root").summary("grow the root file system to the end of its disk").action(async () => {
    const [{ growRoot, PARTITION_NAMES }, { run }] = await Promise.all([
      import("@keelson/boot"),
      import("@keelson/linux"),
    ]);
    const bytes = await growRoot({
      device: await realpath(`/dev/disk/by-partlabel/${PARTITION_NAMES.root}`),
      name: PARTITION_NAMES.root,
      marker: MARKER,
      run: async (program, args) => void (await run([program, ...args])),
    });
    io.out(`the root file system uses all ${Math.round(bytes / (1 << 20))} MiB of the disk\n`);
  });
}
