import { open, realpath, rename } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { ClassicLevel, type OpenOptions } from "classic-level";
import { StoreOpenError } from "./errors.ts";
import { FORMAT, inspectDirectory, MARKER } from "./inspect-directory.ts";
import { lockedError, toOpenError } from "./open-errors.ts";

/** The database with binary keys and values. */
export type LevelDatabase = ClassicLevel<Uint8Array, Uint8Array>;

/**
 * Real paths of the stores that this process has open. A second attempt must not reach LevelDB: it would open and close the
 * lock file, and by POSIX closing any descriptor of a file gives up the process's lock on it.
 */
const openHere = new Set<string>();

/** Opens the LevelDB of a store. Throws {@link StoreOpenError}. */
export async function openDatabase(path: string, options: OpenOptions, verifyTables: boolean): Promise<LevelDatabase> {
  const real = await realpath(path).catch(() => resolve(path));
  if (openHere.has(real)) throw lockedError(path);
  openHere.add(real);
  try {
    return await openChecked(path, options, verifyTables);
  } catch (error) {
    openHere.delete(real);
    throw error;
  }
}

/** Closes what {@link openDatabase} opened. */
export async function closeDatabase(db: LevelDatabase): Promise<void> {
  await db.close();
  openHere.delete(await realpath(db.location).catch(() => resolve(db.location)));
}

async function openChecked(path: string, options: OpenOptions, verifyTables: boolean): Promise<LevelDatabase> {
  const isNew = (await inspectDirectory(path, verifyTables)) === "new";
  const db: LevelDatabase = new ClassicLevel(path, { keyEncoding: "view", valueEncoding: "view" });
  try {
    await db.open({ ...options, createIfMissing: isNew });
    if (isNew) await claim(path, db);
  } catch (error) {
    await db.close();
    throw toOpenError(path, error);
  }
  return db;
}

/** Marks a new store as ours, durably. A database with content but no marker was made by somebody else. */
async function claim(path: string, db: LevelDatabase): Promise<void> {
  for await (const _key of db.keys({ limit: 1 })) {
    throw new StoreOpenError(path, "foreign", "it holds a LevelDB of another program");
  }
  const temporary = join(path, `${MARKER}.tmp`);
  await using file = await open(temporary, "w");
  await file.writeFile(FORMAT);
  await file.sync();
  await rename(temporary, join(path, MARKER));
  await syncDirectory(path);
  await syncDirectory(dirname(path));
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, "r");
  await directory.sync();
}
