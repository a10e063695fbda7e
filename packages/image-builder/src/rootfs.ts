import { chmod, cp, link, mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import type { BaseLayer } from "./base.ts";
import type { ImageDefinition } from "./definition.ts";
import { ImageBuildError } from "./errors.ts";
import type { Programs } from "./programs.ts";
import { run } from "./run.ts";

export interface RootfsOptions {
  readonly target: string;
  readonly base: BaseLayer;
  readonly definition: ImageDefinition;
  readonly node: { readonly path: string; readonly version: string };
  readonly programs: Programs;
  readonly version: string;
  /** Seconds since 1970 that no file is newer than. */
  readonly epoch: number;
}

/**
 * The finished root file system: hard links to the base (quick, no second copy), then our files. Nothing below
 * writes into an existing file: that would change the base as well; files are replaced.
 */
export async function assembleRootfs(options: RootfsOptions): Promise<void> {
  const { target, base, definition: d } = options;
  await run("cp", ["-al", base.rootfs, target]);
  await keepOnly(join(target, "usr/lib/systemd/system-generators"), d.generators);
  await keepOnly(join(target, "usr/lib/udev/rules.d"), d.udevRules);
  await copyOverlay(join(d.directory, "rootfs"), target);
  await installPrograms(target, options);
  await writeReplacing(join(target, "usr/lib/os-release"), osRelease(d.settings.name, options.version));
  await writeReplacing(join(target, "usr/share/keelson/packages.json"), `${JSON.stringify(base.lock, null, 2)}\n`);
  await maskUnits(target, d.masks);
  // System users with fixed numbers, and enabled units as links: done here so that no boot has to.
  await run("chroot", [target, "systemd-sysusers"]);
  await run("chroot", [target, "systemctl", "preset-all", "--preset-mode=full"]);
  await run("find", [
    target,
    "-xdev",
    "-newermt",
    `@${options.epoch}`,
    "-exec",
    "touch",
    "-h",
    "-d",
    `@${options.epoch}`,
    "{}",
    "+",
  ]);
}

/** Text of /usr/lib/os-release. Pure. */
export function osRelease(name: string, version: string): string {
  return [
    'NAME="Keelson OS"',
    `ID=${name}`,
    "ID_LIKE=debian",
    `VERSION_ID=${version}`,
    `IMAGE_ID=${name}`,
    `IMAGE_VERSION=${version}`,
    `PRETTY_NAME="Keelson OS ${version}"`,
    'ANSI_COLOR="0;36"',
    "",
  ].join("\n");
}

async function writeReplacing(path: string, content: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true });
  await writeFile(path, content, { mode });
  await chmod(path, mode);
}

/** Copies `image/rootfs`: owner root, 0755 for folders and executables, 0644 for the rest, whatever git left. */
async function copyOverlay(source: string, target: string): Promise<void> {
  for (const entry of await readdir(source, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isSymbolicLink()) {
      await rm(join(target, relative(source, path)), { force: true });
      await symlink(await readlink(path), join(target, relative(source, path)));
    }
    if (!entry.isFile()) continue;
    const executable = ((await stat(path)).mode & 0o100) !== 0;
    await writeReplacing(
      join(target, relative(source, path)),
      await readFile(path, "utf8"),
      executable ? 0o755 : 0o644,
    );
  }
}

async function installPrograms(target: string, { node, programs }: RootfsOptions): Promise<void> {
  const lib = join(target, "usr/lib/keelson");
  await mkdir(lib, { recursive: true });
  await link(node.path, join(lib, "node")).catch(async () => {
    await cp(node.path, join(lib, "node"));
  });
  await chmod(join(lib, "node"), 0o755);
  for (const { name, file } of programs.bundles) {
    await writeReplacing(join(lib, `${name}.mjs`), await readFile(file, "utf8"));
    await writeReplacing(
      join(target, "usr/bin", name),
      `#!/bin/sh\nexec /usr/lib/keelson/node /usr/lib/keelson/${name}.mjs "$@"\n`,
      0o755,
    );
  }
  for (const folder of programs.prebuilds) await cp(folder, join(lib, "prebuilds"), { recursive: true });
}

async function maskUnits(target: string, units: readonly string[]): Promise<void> {
  const dir = join(target, "usr/lib/systemd/system");
  for (const unit of units) {
    await rm(join(dir, unit), { force: true });
    await symlink("/dev/null", join(dir, unit));
  }
  // A link in a .wants folder to a masked unit would be started, found masked, and logged at every boot.
  const masked = new Set(units);
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink() && entry.parentPath.endsWith(".wants") && masked.has(entry.name)) {
      await rm(join(entry.parentPath, entry.name));
    }
  }
}

async function keepOnly(directory: string, names: readonly string[]): Promise<void> {
  const present = await readdir(directory);
  const absent = names.filter((name) => !present.includes(name));
  if (absent.length > 0)
    throw new ImageBuildError(`${directory} lacks ${absent.join(", ")}, which image/ wants to keep`);
  for (const name of present) if (!names.includes(name)) await rm(join(directory, name));
}
