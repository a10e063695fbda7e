import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { withFileLock } from "../file-lock.ts";
import { runProcess } from "../process-handle.ts";
import { findHostArchive } from "./host-archive.ts";
import { createPrivateApt, type PrivateApt } from "./private-apt.ts";

/** A Debian release to take a program from: its etcd is 3.4 in bookworm, 3.5 in trixie. */
export type DebianSuite = "bookworm" | "trixie";

/** An upstream program, unpacked and not installed; or why it cannot be had, for the line a test prints when it skips. */
export type UpstreamPackage =
  | {
      readonly ok: true;
      readonly name: string;
      /** Debian's, such as `3.5.16-4`. */
      readonly version: string;
      /** Where it is unpacked. */
      readonly dir: string;
      /** The path of a program of it. */
      binary(program: string): string;
      /** The environment to run it in. */
      readonly env: Readonly<Record<string, string | undefined>>;
    }
  | { readonly ok: false; readonly reason: string };

/** Written last: a directory with it is complete. Holds the library directories that the programs need. */
const COMPLETE = ".keelson-complete";
const WORK = ".work-";

/**
 * Gets a package of a Debian release from the archive that this host uses, without changing the host. It is kept in the cache
 * (`KEELSON_CACHE`, default `~/.cache/keelson`, below `upstream/<suite>`) and found there later without any network. Processes may ask at once.
 */
export async function upstreamPackage(name: string, suite: DebianSuite): Promise<UpstreamPackage> {
  const root = join(process.env["KEELSON_CACHE"] ?? join(homedir(), ".cache", "keelson"), "upstream", suite);
  const cached = await findCached(root, name);
  if (cached !== undefined) return cached;
  try {
    return await withFileLock(join(root, ".lock"), async () => {
      // Another process may have got it while this one waited.
      const found = await findCached(root, name);
      if (found !== undefined) return found;
      const reason = await download(root, name, suite);
      return reason === undefined
        ? ((await findCached(root, name)) ?? { ok: false, reason: `${name} did not arrive in ${root}` })
        : { ok: false, reason: `${name} of ${suite}: ${reason}` };
    });
  } catch (error) {
    return { ok: false, reason: `${name} of ${suite}: ${error instanceof Error ? error.message : String(error)}` };
  }
}

async function findCached(root: string, name: string): Promise<UpstreamPackage | undefined> {
  const names = (await readdir(root).catch(() => [])).filter((entry) => entry.startsWith(`${name}_`));
  for (const entry of names.toSorted().toReversed()) {
    const dir = join(root, entry);
    const libraries = await readFile(join(dir, COMPLETE), "utf8").catch(() => undefined);
    if (libraries === undefined) continue;
    const env = libraries === "" ? process.env : { ...process.env, LD_LIBRARY_PATH: libraries };
    return {
      ok: true,
      name,
      version: entry.slice(name.length + 1),
      dir,
      binary: (p) => join(dir, "usr", "bin", p),
      env,
    };
  }
  return undefined;
}

/** Downloads and unpacks; the caller holds the lock. Returns why it failed. */
async function download(root: string, name: string, suite: DebianSuite): Promise<string | undefined> {
  const archive = await findHostArchive();
  if (typeof archive === "string") return archive;
  await mkdir(root, { recursive: true });
  const work = await mkdtemp(join(root, WORK));
  try {
    // Lists of an earlier package of the suite will mostly do.
    const apt = await createPrivateApt(join(root, ".apt"), archive, suite);
    let version = await unpack(apt, name, work, "files");
    if (typeof version !== "string") {
      const update = await apt.run(["update", "--error-on=any"], work);
      if (update.code !== 0) return `apt-get update failed: ${lastLine(update.stderr)}`;
      version = await unpack(apt, name, work, "files");
    }
    if (typeof version !== "string") return version.reason;
    const libraries = await addLibraries(apt, name, work);
    if (typeof libraries !== "string") return libraries.reason;
    const final = join(root, `${name}_${version}`);
    await writeFile(join(work, "files", COMPLETE), libraries === "" ? "" : join(final, "libraries", libraries));
    await rm(final, { recursive: true, force: true });
    await rename(join(work, "files"), final);
    return undefined;
  } finally {
    // Those of killed processes, too.
    for (const entry of await readdir(root)) {
      if (entry.startsWith(WORK)) await rm(join(root, entry), { recursive: true, force: true });
    }
  }
}

/** Downloads one package and unpacks it into `work/to`. Returns its version. */
async function unpack(apt: PrivateApt, name: string, work: string, to: string): Promise<string | { reason: string }> {
  const debs = await mkdtemp(join(work, "debs-"));
  const result = await apt.run(["download", name], debs);
  const deb = (await readdir(debs)).find((file) => file.endsWith(".deb"));
  if (result.code !== 0 || deb === undefined)
    return { reason: `apt-get download ${name} failed: ${lastLine(result.stderr)}` };
  await mkdir(join(work, to), { recursive: true });
  const unpacked = await runProcess("dpkg-deb", ["-x", join(debs, deb), join(work, to)]);
  if (unpacked.code !== 0) return { reason: `dpkg-deb failed: ${lastLine(unpacked.stderr)}` };
  return (await runProcess("dpkg-deb", ["-f", join(debs, deb), "Version"])).stdout.trim();
}

/** Adds the packages of shared libraries that this host lacks. Returns the library path below `libraries`, or "". */
async function addLibraries(apt: PrivateApt, name: string, work: string): Promise<string | { reason: string }> {
  const bin = join(work, "files", "usr", "bin");
  const programs = (await readdir(bin)).map((program) => join(bin, program));
  const missing = (await runProcess("ldd", programs)).stdout.match(/\S+ => not found/g);
  if (missing === null) return "";
  const show = await apt.depends(name);
  const needed = new Set(show.match(/^lib[a-z0-9.+-]+$/gm));
  // The host's own C library stays: a newer one would need its own loader.
  for (const library of ["libc6", "libgcc-s1"]) needed.delete(library);
  for (const library of needed) {
    const version = await unpack(apt, library, work, join("files", "libraries"));
    if (typeof version !== "string") return version;
  }
  const architecture = (
    await runProcess("dpkg-architecture", ["-qDEB_HOST_MULTIARCH"]).catch(() => undefined)
  )?.stdout.trim();
  return join("usr", "lib", architecture ?? "x86_64-linux-gnu");
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
