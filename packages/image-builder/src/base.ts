import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { type ImageDefinition, keyOf } from "./definition.ts";
import { missingLibraries, parseReadelf } from "./elf.ts";
import { ImageBuildError } from "./errors.ts";
import { isExcluded } from "./glob.ts";
import { formatLock, type LockedPackage, type PackageLock, parseAptShow, parseLock, pinPreferences } from "./lock.ts";
import { inheritedAptOptions } from "./mirror.ts";
import { moduleClosure, moduleName, parseModulesDep } from "./modules.ts";
import type { Progress } from "./progress.ts";
import { run } from "./run.ts";

/** Raise when this file builds something else from the same inputs. */
const BASE_VERSION = 2;

/** The Debian part of an image, slimmed, in the cache. */
export interface BaseLayer {
  readonly directory: string;
  /** The root file system; not to be written to. */
  readonly rootfs: string;
  readonly kernelVersion: string;
  readonly kernel: string;
  readonly busybox: string;
  /** systemd-boot for x86-64, as it goes onto an ESP. */
  readonly uefiLoader: string;
  readonly lock: PackageLock;
  readonly fromCache: boolean;
}

export interface BaseOptions {
  readonly definition: ImageDefinition;
  readonly cacheDir: string;
  /** Versions to prefer; undefined takes the mirror's newest. */
  readonly lock: PackageLock | undefined;
  /** Asked for only when the layer is not in the cache. */
  readonly mirror: () => Promise<string>;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** Takes the layer of equal inputs from the cache, or makes it. Interrupted builds leave nothing that counts. */
export async function buildBase(options: BaseOptions): Promise<BaseLayer> {
  const { definition: d, cacheDir, lock, progress } = options;
  const directoryFor = (wanted: PackageLock) =>
    join(cacheDir, `base-${keyOf(BASE_VERSION, d.settings, d.packages, d.drop, d.excludes, d.modules, wanted)}`);
  const cached = lock === undefined ? undefined : await readLayer(directoryFor(lock), true).catch(() => undefined);
  if (cached !== undefined) return cached;
  const debian = await installDebian(options);
  const directory = directoryFor(lock ?? parseLock(formatLock(debian.lock), "lock"));
  await inWorkFolder(directory, async (work) => {
    progress.step("remove what a node does not need");
    const rootfs = join(work, "rootfs");
    // Links, not copies: from here on files are only removed or replaced, never written into.
    await run("cp", ["-al", join(debian.directory, "rootfs"), rootfs]);
    await run("cp", ["-a", join(debian.directory, "kernel-tree"), join(work, "kernel-tree")]);
    const kernelVersion = await installModules(join(work, "kernel-tree"), rootfs, d.modules);
    await dropPackages(rootfs, d.drop);
    await removeExcluded(rootfs, d.excludes);
    await finishTree(rootfs);
    await checkLibraries(rootfs);
    await rename(join(work, "kernel-tree/boot", `vmlinuz-${kernelVersion}`), join(work, "vmlinuz"));
    await rm(join(work, "kernel-tree"), { recursive: true });
    const tools = join(debian.directory, "tools-tree");
    await run("cp", [await findTool(tools, "*/bin/busybox"), join(work, "busybox")]);
    await run("cp", [await findTool(tools, "*/systemd-bootx64.efi"), join(work, "systemd-bootx64.efi")]);
    await writeFile(join(work, "layer.json"), JSON.stringify({ kernelVersion, lock: debian.lock }, null, 2));
  });
  return await readLayer(directory, false);
}

/** Fills a folder beside `target` and renames it into place when all is there; removes it when something fails. */
async function inWorkFolder(target: string, fill: (work: string) => Promise<void>): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const work = await mkdtemp(`${target}.work-`);
  try {
    await fill(work);
    await rm(target, { recursive: true, force: true });
    await rename(work, target);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw error;
  }
}

interface DebianLayer {
  readonly directory: string;
  readonly lock: PackageLock;
}

/**
 * The packages as Debian installs them, in the cache for changes of what is left out. The name follows from the lock
 * that was asked for; without one, the mirror is asked anew (that is what "newest" means) and the name follows from
 * what it gave, so that the next build, which has that as its lock, finds it.
 */
async function installDebian(options: BaseOptions): Promise<DebianLayer> {
  const { definition: d, cacheDir, lock } = options;
  const directoryFor = (wanted: PackageLock) =>
    join(cacheDir, `debian-${keyOf(BASE_VERSION, d.settings, d.packages, wanted)}`);
  const read = async (directory: string) => ({
    directory,
    lock: JSON.parse(await readFile(join(directory, "layer.json"), "utf8")) as PackageLock,
  });
  const cached = lock === undefined ? undefined : await read(directoryFor(lock)).catch(() => undefined);
  if (cached !== undefined) return cached;
  await mkdir(cacheDir, { recursive: true });
  const work = await mkdtemp(join(cacheDir, "debian.work-"));
  try {
    const rootfs = join(work, "rootfs");
    const available = await bootstrap(work, rootfs, await options.mirror(), options);
    const packages = await listPackages(rootfs, available, await unpackExtracted(work));
    for (const name of ["debs", "available.txt", "preferences"]) await rm(join(work, name), { recursive: true });
    const built: PackageLock = { suite: d.settings.suite, architecture: d.settings.architecture, packages };
    await writeFile(join(work, "layer.json"), formatLock(built));
    const directory = directoryFor(lock ?? parseLock(formatLock(built), "layer.json"));
    await rm(directory, { recursive: true, force: true });
    await rename(work, directory);
    return { directory, lock: built };
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw error;
  }
}

async function findTool(tree: string, path: string): Promise<string> {
  const found = (await run("find", [tree, "-type", "f", "-path", path])).trim().split("\n")[0];
  if (!found) throw new ImageBuildError(`the unpacked tools have no ${path}`);
  return found;
}

async function readLayer(directory: string, fromCache: boolean): Promise<BaseLayer> {
  const { kernelVersion, lock } = JSON.parse(await readFile(join(directory, "layer.json"), "utf8")) as {
    kernelVersion: string;
    lock: PackageLock;
  };
  const at = (name: string) => join(directory, name);
  return {
    directory,
    rootfs: at("rootfs"),
    kernel: at("vmlinuz"),
    busybox: at("busybox"),
    uefiLoader: at("systemd-bootx64.efi"),
    kernelVersion,
    lock,
    fromCache,
  };
}

/** Runs mmdebstrap; leaves the tree, the .debs to unpack, and what apt knows of every package. */
async function bootstrap(
  work: string,
  rootfs: string,
  mirror: string,
  options: BaseOptions,
): Promise<Map<string, LockedPackage>> {
  const { definition: d, lock, progress, signal } = options;
  progress.step(`install ${d.packages.length} Debian packages of ${d.settings.suite} and what they need (a minute)`);
  const debs = join(work, "debs");
  await mkdir(debs);
  await writeFile(join(work, "preferences"), lock === undefined ? "" : pinPreferences(lock));
  const aptOptions = await inheritedAptOptions();
  const fetchKernel =
    'kernel=$(apt-cache depends --important "$1" | sed -n "s/^ *Depends: //p" | head -n 1); ' +
    'mkdir /debs && cd /debs && apt-get -o APT::Sandbox::User=root download "$kernel" "$2" "$3" && ' +
    '{ dpkg-query -W -f "\\${Package}=\\${Version}\\n"; for f in *.deb; do dpkg-deb -W --showformat "\\${Package}=\\${Version}\\n" "$f"; done; } ' +
    "| xargs apt-cache show";
  await run(
    "mmdebstrap",
    [
      "--mode=root",
      "--variant=apt",
      "--format=directory",
      `--architectures=${d.settings.architecture}`,
      `--components=${d.settings.components.join(",")}`,
      `--include=${d.packages.join(",")}`,
      ...aptOptions.map((line) => `--aptopt=${line}`),
      ...["man", "doc", "locale", "info", "lintian"].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
      `--setup-hook=mkdir -p "$1/etc/apt/preferences.d"; cp '${join(work, "preferences")}' "$1/etc/apt/preferences.d/keelson"`,
      `--customize-hook=chroot "$1" sh -ec '${fetchKernel}' fetch ${d.settings.kernel} ${d.settings.initramfsTools} ${d.settings.uefiLoader} > '${join(work, "available.txt")}'`,
      `--customize-hook=mv "$1"/debs/*.deb '${debs}/' && rmdir "$1/debs"`,
      d.settings.suite,
      rootfs,
      mirror,
    ],
    { signal, onStderrLine: (line) => /^[IE]:/.test(line) && progress.detail(line) },
  );
  return parseAptShow(await readFile(join(work, "available.txt"), "utf8"));
}

/** Unpacks the kernel's and the initramfs tools' .debs beside the tree; returns their `name=version`. */
async function unpackExtracted(work: string): Promise<string[]> {
  const names: string[] = [];
  for (const deb of await readdir(join(work, "debs"))) {
    const file = join(work, "debs", deb);
    await run("dpkg-deb", ["-x", file, join(work, deb.startsWith("linux-image-") ? "kernel-tree" : "tools-tree")]);
    names.push((await run("dpkg-deb", ["-W", "--showformat", "${Package}=${Version}", file])).trim());
  }
  return names;
}

async function listPackages(
  rootfs: string,
  available: ReadonlyMap<string, LockedPackage>,
  extracted: readonly string[],
): Promise<Record<string, LockedPackage>> {
  const installed = await run("chroot", [rootfs, "dpkg-query", "-W", "-f", "${Package}=${Version}\\n"]);
  const all = [...installed.split("\n").filter(Boolean), ...extracted];
  return Object.fromEntries(
    all.map((id) => {
      const locked = available.get(id);
      if (locked === undefined) throw new ImageBuildError(`the mirror's index does not know the installed ${id}`);
      return [id.slice(0, id.indexOf("=")), locked];
    }),
  );
}

/** Copies the allowed modules with their closure into the tree, decompressed and stripped; returns the kernel's version. */
async function installModules(kernelTree: string, rootfs: string, allowed: readonly string[]): Promise<string> {
  const source = await findModules(kernelTree);
  const version = basename(source);
  const target = join(rootfs, "usr/lib/modules", version);
  await mkdir(dirname(target), { recursive: true });
  await rename(source, target);
  await run("chroot", [rootfs, "depmod", version]);
  const builtin = new Set((await readFile(join(target, "modules.builtin"), "utf8")).split("\n").map(moduleName));
  const files = moduleClosure(allowed, parseModulesDep(await readFile(join(target, "modules.dep"), "utf8")), builtin);
  const keep = new Set(files);
  for (const entry of await readdir(join(target, "kernel"), { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && !keep.has(relative(target, path))) await rm(path);
  }
  const kept = files.map((file) => join(target, file));
  await run("xz", ["-d", ...kept.filter((file) => file.endsWith(".xz"))]);
  await run("strip", ["-g", ...kept.map((file) => file.replace(/\.xz$/, ""))]);
  await run("find", [join(target, "kernel"), "-type", "d", "-empty", "-delete"]);
  await run("chroot", [rootfs, "depmod", version]);
  // depmod's text forms are for people; modprobe reads the .bin ones.
  for (const name of ["modules.alias", "modules.symbols", "modules.builtin.modinfo"])
    await rm(join(target, name), { force: true });
  return version;
}

async function findModules(kernelTree: string): Promise<string> {
  for (const dir of ["usr/lib/modules", "lib/modules"]) {
    const versions = await readdir(join(kernelTree, dir)).catch(() => []);
    if (versions[0] !== undefined) return join(kernelTree, dir, versions[0]);
  }
  throw new ImageBuildError("the kernel package has no lib/modules folder");
}

/** Removes the files that dpkg recorded for packages; folders that became empty stay, others may use them. */
async function dropPackages(rootfs: string, names: readonly string[]): Promise<void> {
  const info = join(rootfs, "var/lib/dpkg/info");
  const lists = await readdir(info);
  for (const name of names) {
    const list = lists.find(
      (file) => file === `${name}.list` || (file.startsWith(`${name}:`) && file.endsWith(".list")),
    );
    if (list === undefined) continue; // Not pulled in by this mirror's versions.
    for (const path of (await readFile(join(info, list), "utf8")).split("\n").filter(Boolean)) {
      const stat = await lstat(join(rootfs, path)).catch(() => undefined);
      if (stat !== undefined && !stat.isDirectory()) await rm(join(rootfs, path));
    }
  }
}

async function removeExcluded(rootfs: string, globs: readonly string[]): Promise<void> {
  for (const entry of await readdir(rootfs, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (isExcluded(`/${relative(rootfs, path)}`, globs)) await rm(path, { recursive: true, force: true });
  }
}

/** Setuid bits off (nothing on a node changes users that way), an empty /dev, and the places that OSTree will want. */
async function finishTree(rootfs: string): Promise<void> {
  const setuid = await run("find", [rootfs, "-xdev", "-type", "f", "-perm", "/6000", "-print0"]);
  for (const file of setuid.split("\0").filter(Boolean)) await chmod(file, (await lstat(file)).mode & 0o0777);
  await run("find", [join(rootfs, "dev"), join(rootfs, "run"), join(rootfs, "tmp"), "-mindepth", "1", "-delete"]);
  await rm(join(rootfs, "etc/machine-id"), { force: true });
  await writeFile(join(rootfs, "etc/machine-id"), "");
  await symlink("../proc/self/mounts", join(rootfs, "etc/mtab")).catch(() => {});
}

/** Every library that a program or library names must have stayed. */
async function checkLibraries(rootfs: string): Promise<void> {
  const files: string[] = [];
  const present = new Set<string>();
  for (const entry of await readdir(join(rootfs, "usr"), { recursive: true, withFileTypes: true })) {
    present.add(entry.name);
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && (/\.so(\.|$)/.test(entry.name) || ((await lstat(path)).mode & 0o111) !== 0)) files.push(path);
  }
  // readelf complains about scripts on standard error and exits 1; what counts is what it prints.
  const text = await run("readelf", ["-d", ...files], { okCodes: [0, 1] });
  const missing = missingLibraries(parseReadelf(text), present).map((line) => line.replace(rootfs, ""));
  if (missing.length > 0) {
    throw new ImageBuildError(
      `image/drop.txt or excludes.txt removes libraries that are needed: ${missing.slice(0, 20).join("; ")}`,
    );
  }
}
