import type { Dirent } from "node:fs";
import { access, constants, readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import type { Check, CheckSource } from "./gate.ts";

const CHECKS_MAX = 64;

/** One run of an executable may take so long; a required one is then tried again. */
export const CHECK_TIMEOUT_MS = 60_000;

/**
 * Executables of `<dir>`, `<dir>/required.d` (must pass) and `<dir>/wanted.d` (may fail), greenboot's names. A file of a later
 * directory replaces one of the same name; a link to /dev/null takes it away; README, hidden and backup files are none.
 * Exit code 0 passes, 77 skips (as automake and
 * kola have it), all else fails.
 *
 * Required checks must look at this machine only: one that needs a name server or a far host turns that host's bad day
 * into a rollback of every machine (greenboot issue 105's class). Such checks belong into `wanted.d`.
 */
export function directoryChecks(directories: readonly string[], timeoutMs = CHECK_TIMEOUT_MS): CheckSource {
  return async () => {
    const found = new Map<string, { path: string; isRequired: boolean }>();
    for (const directory of directories) {
      for (const [sub, isRequired] of [
        ["", true],
        ["required.d", true],
        ["wanted.d", false],
      ] as const) {
        for (const name of await namesOf(join(directory, sub))) {
          found.set(name, { path: join(directory, sub, name), isRequired });
        }
      }
    }
    const checks: Check[] = [];
    for (const [name, { path, isRequired }] of [...found].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      if (checks.length >= CHECKS_MAX) break;
      if ((await realpath(path).catch(() => path)) === "/dev/null") continue;
      checks.push(programCheck(name, path, isRequired, timeoutMs));
    }
    return checks;
  };
}

async function namesOf(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [] as Dirent[];
    throw error;
  });
  return entries
    .filter((entry) => !entry.isDirectory() && !/^\.|^README|~$/.test(entry.name))
    .map((entry) => entry.name)
    .toSorted();
}

function programCheck(name: string, path: string, isRequired: boolean, timeoutMs: number): Check {
  return {
    name,
    isRequired,
    look: async (signal) => {
      if (!(await isExecutable(path))) return { outcome: "failed", detail: `${path} is not an executable file` };
      const late = AbortSignal.timeout(timeoutMs);
      const { exitCode, lastLines } = await runCommand(path, [], AbortSignal.any([late, signal]));
      if (late.aborted) return { outcome: "failed", detail: `${path} did not end within ${timeoutMs} ms` };
      if (exitCode === 0) return { outcome: "passed", detail: "" };
      if (exitCode === 77) return { outcome: "skipped", detail: lastLines };
      const how = exitCode === undefined ? "was killed" : `exited with ${exitCode}`;
      return { outcome: "failed", detail: `${how}${lastLines === "" ? "" : `: ${lastLines}`}` };
    },
  };
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
