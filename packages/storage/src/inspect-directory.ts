import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { checkLog } from "./check-log.ts";
import { checkTable } from "./check-table.ts";
import { StoreOpenError } from "./errors.ts";
import { logNumbers, logPath } from "./level-log.ts";
import { damagedError, lockedError, toOpenError } from "./open-errors.ts";
import { type Manifest, readManifest } from "./read-manifest.ts";

/** Its presence says that a directory is a store of ours, whole; its content is the version of the format. */
export const MARKER = "KEELSON-STORE";
/** The format that this version reads and writes. */
export const FORMAT = "1\n";

/** What a crash while LevelDB was first made may leave behind. */
const CREATION_FILES = /^(CURRENT|LOCK|LOG|LOG\.old|MANIFEST-\d+|\d+\.(log|dbtmp)|KEELSON-STORE\.tmp)$/;

/**
 * Looks at a store's directory before LevelDB may change anything in it: LevelDB quietly begins anew without CURRENT, does not
 * miss a log, and reads damaged records and tables as best it can. Returns whether a store is to be made there.
 */
export async function inspectDirectory(path: string, verifyTables: boolean): Promise<"new" | "existing"> {
  try {
    await mkdir(path, { recursive: true });
    const names = await readdir(path);
    if (names.includes(MARKER)) {
      await checkContent(path, names, verifyTables);
      return "existing";
    }
    const other = names.find((name) => !CREATION_FILES.test(name));
    if (other === undefined) return "new";
    throw new StoreOpenError(path, "foreign", `it holds ${other}, which is not part of a store`);
  } catch (cause) {
    const error = toOpenError(path, cause);
    // Under another process's hands files come and go; that is not damage.
    if (error.reason === "corrupt" && (await isHeld(path))) throw lockedError(path);
    throw error;
  }
}

/** True when Linux lists a file lock on LevelDB's LOCK. Elsewhere nobody can tell before LevelDB itself tries. */
async function isHeld(path: string): Promise<boolean> {
  try {
    const { ino } = await stat(join(path, "LOCK"), { bigint: true });
    return (await readFile("/proc/locks", "utf8")).includes(`:${ino} `);
  } catch {
    return false;
  }
}

async function checkContent(path: string, names: readonly string[], verifyTables: boolean): Promise<void> {
  const format = await readFile(join(path, MARKER), "utf8");
  if (format !== FORMAT) {
    const found = JSON.stringify(format.slice(0, 20));
    throw new StoreOpenError(
      path,
      "foreign",
      `the format in ${MARKER} is ${found}; this version knows ${JSON.stringify(FORMAT)}`,
    );
  }
  if (!names.includes("CURRENT")) throw damagedError(path, "the file CURRENT is missing");
  const manifest = await loadManifest(path, names);
  await checkLogs(path, manifest.logNumber);
  if (verifyTables) await checkTables(path, manifest.tables);
}

async function loadManifest(path: string, names: readonly string[]): Promise<Manifest> {
  const name = /^(MANIFEST-\d+)\n$/.exec(await readFile(join(path, "CURRENT"), "utf8"))?.[1];
  if (name === undefined || !names.includes(name)) throw damagedError(path, "CURRENT names no manifest that exists");
  const bytes = await readFile(join(path, name));
  const found = checkLog(bytes);
  const manifest = found.state === "damaged" ? undefined : readManifest(bytes);
  if (manifest === undefined) throw damagedError(path, `${name} is damaged`);
  return manifest;
}

async function checkLogs(path: string, firstNumber: number): Promise<void> {
  const numbers = logNumbers(path);
  if (!numbers.includes(firstNumber)) throw damagedError(path, `${logPath(path, firstNumber)} is missing`);
  let tornBefore: string | undefined;
  for (const number of numbers) {
    // An older one is in tables already and only waits to be removed.
    if (number < firstNumber) continue;
    const file = logPath(path, number);
    const bytes = await readFile(file);
    const found = checkLog(bytes);
    // LevelLog makes a log durable before the next one is relied on, so only the last may end torn.
    if (tornBefore !== undefined && bytes.length > 0) throw damagedError(path, `${tornBefore} ends within a record`);
    if (found.state === "damaged") throw damagedError(path, `${file} has a damaged record at byte ${found.atByte}`);
    if (found.state === "torn") tornBefore = file;
  }
}

/** Tables that the manifest does not name are left-overs of a crash and may be incomplete; LevelDB removes them. */
async function checkTables(path: string, tables: ReadonlyMap<number, number>): Promise<void> {
  for (const [number, size] of tables) {
    const file = join(path, `${String(number).padStart(6, "0")}.ldb`);
    const bytes = await readFile(file).catch((error: unknown) => {
      throw damagedError(path, `${file} cannot be read`, error);
    });
    const problem = bytes.length === size ? checkTable(bytes) : `it has ${bytes.length} bytes instead of ${size}`;
    if (problem !== undefined) throw damagedError(path, `${file}: ${problem}`);
  }
}
