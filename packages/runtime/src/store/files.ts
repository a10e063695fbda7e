import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isLive, readProcessStat } from "@keelson/linux";
import { StoreFullError } from "./errors.ts";

/** Makes a rename or unlink in it last. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes a file so that a crash at any instant leaves the old or the new one. `scratch` is on the same file system. */
export async function writeDurably(path: string, bytes: Uint8Array, scratch: string): Promise<void> {
  const temporary = join(scratch, scratchName("file"));
  try {
    const handle = await open(temporary, "wx", 0o644);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw asStoreError(error);
  }
}

/** A full disk by its name; other errors as they are. */
export function asStoreError(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code !== "ENOSPC" && code !== "EDQUOT") return error;
  return new StoreFullError(
    "the disk of the image store is full: remove images (rkt image gc) or enlarge it",
    {},
    { cause: error },
  );
}

let bootId: string | undefined;

/** Names this process for ever: also after a reboot no other one has the name. */
function ownTag(): string {
  bootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8);
  return `${bootId}-${process.pid}-${readProcessStat(process.pid)?.startTicks ?? 0}`;
}

/** A file name that no other call and no other process has: `<kind>.<owner>.<random>`. */
export function scratchName(kind: string): string {
  return `${kind}.${ownTag()}.${randomBytes(6).toString("hex")}`;
}

/** Whether the process that made up this {@link scratchName} lives. Names of another form have no owner. */
export function isOwnerAlive(name: string): boolean {
  const match = /^[a-z]+\.([0-9a-f]{8})-(\d+)-(\d+)\./.exec(name);
  if (match === null) return false;
  ownTag();
  const stat = match[1] === bootId ? readProcessStat(Number(match[2])) : undefined;
  return stat !== undefined && isLive(stat) && stat.startTicks === Number(match[3]);
}
