import { mkdir, open, readdir, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ClassicLevel, type OpenOptions } from "classic-level";
import { checkLog } from "./check-log.ts";
import { describeError, isNoSpace, StoreOpenError, type StoreOpenReason } from "./errors.ts";
import { logNumbers, logPath } from "./level-log.ts";

/** The database with binary keys and values. */
export type LevelDatabase = ClassicLevel<Uint8Array, Uint8Array>;

/** Its presence says that a directory is a store of ours, whole; its content is the version of the format. */
const MARKER = "KEELSON-STORE";
const FORMAT = "1\n";

/** Opens the LevelDB of a store. Throws {@link StoreOpenError}. */
export async function openDatabase(path: string, options: OpenOptions): Promise<LevelDatabase> {
  const isNew = await inspect(path);
  const db: LevelDatabase = new ClassicLevel(path, { keyEncoding: "view", valueEncoding: "view" });
  try {
    await db.open({ ...options, createIfMissing: isNew });
    if (isNew) await claim(path, db);
  } catch (error) {
    await db.close();
    throw asOpenError(path, error);
  }
  return db;
}

/** Looks at the directory before LevelDB may change anything in it. True when a store is to be made there. */
async function inspect(path: string): Promise<boolean> {
  let names: string[];
  try {
    await mkdir(path, { recursive: true });
    names = await readdir(path);
  } catch (error) {
    throw asOpenError(path, error);
  }
  if (!names.includes(MARKER)) {
    // What a crash while LevelDB was made may have left. Anything else is not ours to write into.
    const other = names.find(
      (name) => !/^(CURRENT|LOCK|LOG|LOG\.old|MANIFEST-\d+|\d+\.(log|dbtmp))$|^KEELSON-STORE\.tmp$/.test(name),
    );
    if (other !== undefined)
      throw new StoreOpenError(path, "foreign", `it holds ${other}, which is not part of a store`);
    return true;
  }
  const format = await readFile(join(path, MARKER), "utf8");
  if (format !== FORMAT)
    throw new StoreOpenError(path, "foreign", `its format is ${JSON.stringify(format)}, not ${JSON.stringify(FORMAT)}`);
  // LevelDB would quietly begin anew without CURRENT, and would not miss a log.
  if (!names.includes("CURRENT")) throw damaged(path, "the file CURRENT is missing");
  const logs = logNumbers(path);
  if (logs.length === 0) throw damaged(path, "its log file is missing");
  await checkLogs(path, logs);
  return false;
}

async function checkLogs(path: string, logs: readonly number[]): Promise<void> {
  let tornBefore: string | undefined;
  for (const number of logs) {
    const file = logPath(path, number);
    const bytes = await readFile(file);
    const found = checkLog(bytes);
    // LevelLog makes a log durable before the next one is relied on, so only the last may end torn.
    if (tornBefore !== undefined && bytes.length > 0) throw damaged(path, `${tornBefore} ends within a record`);
    if (found.state === "damaged") throw damaged(path, `${file} has a damaged record at byte ${found.atByte}`);
    if (found.state === "torn") tornBefore = file;
  }
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

function damaged(path: string, what: string, cause?: unknown): StoreOpenError {
  const hint = `${what}; restore the directory from a backup, or remove the member and add it anew`;
  return new StoreOpenError(path, "corrupt", hint, { cause });
}

const HINTS: Record<Exclude<StoreOpenReason, "foreign" | "corrupt">, string> = {
  locked: "another process has it open",
  permission: "permission denied",
  "no-space": "no space left on the device",
  io: "the operating system refused",
};

function asOpenError(path: string, error: unknown): StoreOpenError {
  if (error instanceof StoreOpenError) return error;
  // abstract-level wraps what LevelDB said.
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const text = describeError(cause);
  if (/LEVEL_CORRUPTION|corruption/i.test(text)) return damaged(path, "LevelDB found damage", cause);
  const reason = /LEVEL_LOCKED/.test(text)
    ? "locked"
    : /EACCES|EPERM|EROFS|permission denied|read-only file system/i.test(text)
      ? "permission"
      : isNoSpace(cause)
        ? "no-space"
        : "io";
  return new StoreOpenError(path, reason, HINTS[reason], { cause });
}
