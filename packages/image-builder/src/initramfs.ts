import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { BaseLayer } from "./base.ts";
import { type CpioEntry, encodeCpio } from "./cpio.ts";
import type { ImageDefinition } from "./definition.ts";
import { moduleClosure, moduleName, parseModulesDep } from "./modules.ts";

const DIRECTORY = 0o040755;
const EXECUTABLE = 0o100755;
const FILE = 0o100644;
const SYMLINK = 0o120777;
const CHARACTER_DEVICE = 0o020600;

/** What /init uses of busybox. */
const APPLETS = ["sh", "mount", "insmod", "usleep", "mkfifo", "mkdir", "crc32", "dd", "switch_root"];

/**
 * The initramfs: a static busybox, `image/initramfs/init`, and a few modules with what they need. Not compressed:
 * it is 2 MB, and unpacking costs more than reading, above all under emulation.
 */
export async function makeInitramfs(base: BaseLayer, definition: ImageDefinition): Promise<Uint8Array> {
  const modulesDir = join(base.rootfs, "usr/lib/modules", base.kernelVersion);
  const builtin = new Set((await readFile(join(modulesDir, "modules.builtin"), "utf8")).split("\n").map(moduleName));
  const dependencies = parseModulesDep(await readFile(join(modulesDir, "modules.dep"), "utf8"));
  const modules = moduleClosure(definition.initramfsModules, dependencies, builtin);
  const optional = moduleClosure(definition.initramfsOptional, dependencies, builtin);
  const entries: CpioEntry[] = [
    ...["bin", "dev", "proc", "sys", "run", "sysroot", "newroot", "modules", "modules/optional"].map((path) => ({
      path,
      mode: DIRECTORY,
    })),
    { path: "dev/console", mode: CHARACTER_DEVICE, rdev: { major: 5, minor: 1 } },
    // A shell takes it as the input of what runs in the background, before /dev is mounted.
    { path: "dev/null", mode: CHARACTER_DEVICE, rdev: { major: 1, minor: 3 } },
    { path: "bin/busybox", mode: EXECUTABLE, data: await readFile(base.busybox) },
    ...APPLETS.map((name) => ({ path: `bin/${name}`, mode: SYMLINK, data: Buffer.from("busybox") })),
    { path: "init", mode: EXECUTABLE, data: await readFile(definition.initramfsInit) },
    {
      path: "modules/order",
      mode: FILE,
      data: Buffer.from(modules.map((file) => `${moduleName(file)}.ko\n`).join("")),
    },
  ];
  const files = [...modules.map((file) => ["modules", file]), ...optional.map((file) => ["modules/optional", file])];
  for (const [directory, file = ""] of files) {
    const path = `${directory}/${moduleName(file)}.ko`;
    entries.push({ path, mode: FILE, data: await readFile(join(modulesDir, file)) });
  }
  return encodeCpio(entries);
}
