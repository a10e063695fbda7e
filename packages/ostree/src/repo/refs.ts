import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isChecksum } from "../core/checksum.ts";
import { OstreeRepoError } from "../core/errors.ts";
import { compareNames, isRefName, parseRefspec } from "../core/names.ts";
import type { Checksum } from "../core/objects.ts";
import { fsyncPath, mkdirDurable, writeFileDurable } from "./durable.ts";

/** Path of a ref's file below the repository. @throws {OstreeNameError} */
export function refPath(refspec: string): string {
  const { remote, ref } = parseRefspec(refspec);
  return remote === undefined ? join("refs/heads", ref) : join("refs/remotes", remote, ref);
}

/** Reads a ref. Undefined when there is none. @throws {OstreeRepoError} its file is damaged */
export function readRef(repo: string, refspec: string): Checksum | undefined {
  return readRefFile(join(repo, refPath(refspec)));
}

function readRefFile(path: string): Checksum | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trimEnd();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    // `a/b` where `a` is a ref, or `a` where refs are below it.
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR") return undefined;
    throw cause;
  }
  if (!isChecksum(text)) throw new OstreeRepoError(`${path} does not hold a checksum`, { path });
  return text;
}

/** Writes (or removes) a ref's file durably. */
export async function writeRef(
  repo: string,
  refspec: string,
  checksum: Checksum | undefined,
  durable: boolean,
): Promise<void> {
  const path = join(repo, refPath(refspec));
  if (checksum === undefined) {
    await rm(path, { force: true });
    if (durable) await fsyncPath(dirname(path)).catch(ignoreMissing);
    return;
  }
  try {
    if (durable) await mkdirDurable(dirname(path));
    else mkdirSync(dirname(path), { recursive: true });
    await writeFileDurable(path, `${checksum}\n`, { durable });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code !== "EEXIST" && code !== "ENOTDIR" && code !== "EISDIR") throw cause;
    throw new OstreeRepoError(
      `ref ${refspec} cannot be beside a ref that is a part of its name`,
      { refspec },
      { cause },
    );
  }
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}

/** All refs of heads and remotes, sorted. */
export function listRefs(repo: string): Map<string, Checksum> {
  const found: [string, Checksum][] = [];
  collect(join(repo, "refs/heads"), "", (ref, checksum) => found.push([ref, checksum]));
  for (const remote of directories(join(repo, "refs/remotes"))) {
    collect(join(repo, "refs/remotes", remote), "", (ref, checksum) => found.push([`${remote}:${ref}`, checksum]));
  }
  return new Map(found.sort(([a], [b]) => compareNames(a, b)));
}

/** Refs of other collections, which we do not use but must not prune. */
export function listMirrorCommits(repo: string): Checksum[] {
  const found: Checksum[] = [];
  collect(join(repo, "refs/mirrors"), "", (_ref, checksum) => found.push(checksum));
  return found;
}

function directories(path: string): string[] {
  return entriesOf(path)
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

function entriesOf(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (error) {
    ignoreMissing(error);
    return [];
  }
}

function collect(root: string, prefix: string, add: (ref: string, checksum: Checksum) => void): void {
  for (const entry of entriesOf(join(root, prefix))) {
    const ref = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    if (entry.isDirectory()) collect(root, ref, add);
    // What is not a ref's name is a temporary file.
    else if (isRefName(ref)) {
      const checksum = readRefFile(join(root, ref));
      if (checksum !== undefined) add(ref, checksum);
    }
  }
}
