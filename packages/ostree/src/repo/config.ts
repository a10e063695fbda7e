import { OstreeFormatError, OstreeRepoError } from "../core/errors.ts";
import { type KeyFile, parseKeyFile } from "../core/keyfile.ts";

/** A remote as in `[remote "name"]` of the repository's config. */
export interface RemoteConfig {
  readonly name: string;
  /** All keys of the section as written. */
  readonly options: ReadonlyMap<string, string>;
}

/** What we use of the repository's `config` file. */
export interface RepoConfig {
  readonly mode: "archive" | "bare";
  /** `[core] fsync`; default true. */
  readonly fsync: boolean;
  /** `[core] min-free-space-percent`, default 3 when neither is set; `min-free-space-size` wins. */
  readonly minFreeSpacePercent: number;
  /** `[core] min-free-space-size` in bytes. */
  readonly minFreeSpaceSize?: number;
  /** `[archive] zlib-level`; default 6. */
  readonly zlibLevel: number;
  /** `[core] collection-id`. */
  readonly collectionId?: string;
  readonly remotes: ReadonlyMap<string, RemoteConfig>;
}

const MODES: Readonly<Record<string, "archive" | "bare">> = {
  "archive-z2": "archive",
  archive: "archive",
  bare: "bare",
};
const SHIFTS: Readonly<Record<string, number>> = { MB: 2 ** 20, GB: 2 ** 30, TB: 2 ** 40 };

/** Reads a repository's config. @throws {OstreeRepoError} not one we can use */
export function parseRepoConfig(text: string, path = "repository"): RepoConfig {
  let file: KeyFile;
  try {
    file = parseKeyFile(text);
  } catch (cause) {
    if (!(cause instanceof OstreeFormatError)) throw cause;
    throw new OstreeRepoError(`${path}/config is damaged`, { path }, { cause });
  }
  const core = file.groups.get("core") ?? new Map<string, string>();
  const version = core.get("repo_version");
  if (version !== "1") throw new OstreeRepoError(`${path}: repo_version is ${version ?? "missing"}, not 1`, { path });
  const mode = MODES[core.get("mode") ?? "bare"];
  if (mode === undefined) {
    throw new OstreeRepoError(`${path}: mode ${core.get("mode")} is not supported; archive and bare are`, { path });
  }
  const size = minFreeSpaceSize(core.get("min-free-space-size"), path);
  const collectionId = core.get("collection-id");
  return {
    mode,
    fsync: boolean(core.get("fsync"), true, "fsync", path),
    minFreeSpacePercent: size === undefined ? integer(core.get("min-free-space-percent"), 3, 99, path) : 0,
    ...(size !== undefined && { minFreeSpaceSize: size }),
    zlibLevel: integer(file.groups.get("archive")?.get("zlib-level"), 6, 9, path),
    ...(collectionId !== undefined && { collectionId }),
    remotes: remotesOf(file),
  };
}

function remotesOf(file: KeyFile): Map<string, RemoteConfig> {
  const remotes = new Map<string, RemoteConfig>();
  for (const [group, options] of file.groups) {
    const name = /^remote "([^"]+)"$/.exec(group)?.[1];
    if (name !== undefined) remotes.set(name, { name, options });
  }
  return remotes;
}

function boolean(text: string | undefined, otherwise: boolean, key: string, path: string): boolean {
  if (text === undefined) return otherwise;
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  throw new OstreeRepoError(`${path}: ${key}=${text} is neither true nor false`, { path });
}

function integer(text: string | undefined, otherwise: number, max: number, path: string): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > max)
    throw new OstreeRepoError(`${path}: ${text} is not a number up to ${max}`, { path });
  return value;
}

function minFreeSpaceSize(text: string | undefined, path: string): number | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{1,9})(MB|GB|TB)$/.exec(text);
  if (match === null) throw new OstreeRepoError(`${path}: min-free-space-size=${text} is not like 500MB`, { path });
  return Number(match[1]) * (SHIFTS[match[2] as string] as number);
}
