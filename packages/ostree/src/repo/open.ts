import { existsSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { OstreeRepoError } from "../core/errors.ts";
import { formatKeyFile } from "../core/keyfile.ts";
import { parseRepoConfig } from "./config.ts";
import { fsyncPath, mkdirDurable, writeFileDurable } from "./durable.ts";
import type { InitOptions, OpenOptions } from "./options.ts";
import type { Repo } from "./port.ts";
import { FsRepo } from "./repo.ts";

/** As upstream's `lock-timeout-secs`, ten times longer: a prune of a large repository may take minutes. */
const LOCK_TIMEOUT_MS = 300_000;
const DIRECTORIES = [
  "objects",
  "tmp",
  "tmp/cache",
  "extensions",
  "state",
  "refs/heads",
  "refs/mirrors",
  "refs/remotes",
];
const CONFIG_BYTES_MAX = 1024 * 1024;

/** Opens a repository. @throws {OstreeRepoError} there is none, or it is of another kind */
export async function openRepo(path: string, options: OpenOptions = {}): Promise<Repo> {
  let text: string;
  try {
    text = readFileSync(join(path, "config"), "utf8");
  } catch (cause) {
    throw new OstreeRepoError(`${path} is not an OSTree repository`, { path }, { cause });
  }
  if (text.length > CONFIG_BYTES_MAX) throw new OstreeRepoError(`${path}/config is too large`, { path });
  const config = parseRepoConfig(text, path);
  for (const directory of ["objects", "refs/heads"]) {
    if (!existsSync(join(path, directory))) {
      throw new OstreeRepoError(`${path} is not an OSTree repository: ${directory} is missing`, { path });
    }
  }
  return new FsRepo(path, config, options.lockTimeoutMs ?? LOCK_TIMEOUT_MS);
}

/** Makes a repository, or opens one that is there and has the same mode. @throws {OstreeRepoError} another mode */
export async function initRepo(path: string, options: InitOptions): Promise<Repo> {
  if (!existsSync(join(path, "config"))) await create(path, options);
  const repo = await openRepo(path, options);
  if (repo.mode !== options.mode) {
    throw new OstreeRepoError(`${path} is a repository of mode ${repo.mode}, not ${options.mode}`, { path });
  }
  return repo;
}

async function create(path: string, options: InitOptions): Promise<void> {
  await mkdirDurable(path);
  for (const directory of DIRECTORIES) await mkdir(join(path, directory), { recursive: true });
  const { core = {}, ...sections } = options.config ?? {};
  const coreKeys = {
    repo_version: "1",
    mode: options.mode === "archive" ? "archive-z2" : "bare",
    ...(options.collectionId !== undefined && { "collection-id": options.collectionId }),
    ...core,
  };
  const groups = Object.entries({ core: coreKeys, ...sections }).map(
    ([group, keys]) => [group, Object.entries(keys)] as const,
  );
  await fsyncPath(join(path, "refs"));
  // The config comes last: with it, it is a repository.
  await writeFileDurable(join(path, "config"), formatKeyFile(groups));
}
