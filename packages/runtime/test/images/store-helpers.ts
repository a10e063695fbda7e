import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TempDir } from "@keelson/testkit";
import {
  type CredentialStore,
  type ImageStore,
  type ImageStoreOptions,
  openImageStore,
  RegistryClient,
  type RegistryConfig,
} from "../../src/image/index.ts";

/** A directory in memory: these tests make a hundred stores, and none has to survive a power cut. */
export async function memoryDir(label: string): Promise<TempDir> {
  const path = await mkdtemp(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), `keelson-${label}-`));
  return {
    path,
    join: (...names) => join(path, ...names),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** All files of a directory with the hashes of their contents; equal before and after means that nothing was left behind. */
export async function snapshot(root: string): Promise<string[]> {
  const result: string[] = [];
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const content = entry.isFile()
      ? createHash("sha256")
          .update(await readFile(path))
          .digest("hex")
      : "-";
    result.push(`${path.slice(root.length)} ${content}`);
  }
  return result.sort();
}

/** A store with a client that does not wait long. */
export async function testStore(
  root: string,
  options: { credentials?: CredentialStore; config?: RegistryConfig; retries?: number; idleMs?: number } & Omit<
    ImageStoreOptions,
    "root" | "client"
  > = {},
): Promise<{ store: ImageStore } & Disposable> {
  const { credentials, config, retries = 2, idleMs = 5_000, ...rest } = options;
  const client = new RegistryClient({
    ...(credentials === undefined ? {} : { credentials }),
    ...(config === undefined ? {} : { config }),
    retry: { retries, delayMs: 1, delayMaxMs: 2_000 },
    transport: { idleMs },
  });
  const store = await openImageStore({ root, client, ...rest });
  return { store, [Symbol.dispose]: () => client[Symbol.dispose]() };
}
