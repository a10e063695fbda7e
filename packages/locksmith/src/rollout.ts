import { type Denial, encodeDenial, parseDenial } from "./core/denial.ts";
import { LocksmithError } from "./core/errors.ts";
import { DENIED_PREFIX, keyOf, nameOf } from "./core/keys.ts";
import type { LockStore } from "./store/port.ts";

// A rollout is stopped by a key per version: coreos.com/updateengine/rollout/denied/<version>. Any machine may write it,
// every machine reads it before it takes a version, and only people take it away.

const VERSION_MAX = 256;

/** Denies a version to all machines. The first one's reason stays. Doing it twice does no harm. @throws {StoreUnavailableError} */
export async function deny(store: LockStore, denial: Denial, signal?: AbortSignal): Promise<void> {
  checkVersion(denial.version);
  const key = keyOf(DENIED_PREFIX, denial.version);
  await store.commit([{ key, createRevision: 0 }], [{ type: "put", key, value: encodeDenial(denial) }], signal);
}

/** Why a version is denied, or undefined. @throws {StoreUnavailableError} */
export async function denied(store: LockStore, version: string, signal?: AbortSignal): Promise<Denial | undefined> {
  checkVersion(version);
  const { entries } = await store.read([{ key: keyOf(DENIED_PREFIX, version) }], signal);
  return entries[0] === undefined ? undefined : parseDenial(version, entries[0].value);
}

/** All versions that are denied, by version. @throws {StoreUnavailableError} */
export async function deniedVersions(store: LockStore, signal?: AbortSignal): Promise<ReadonlyMap<string, Denial>> {
  return (await readAll(store, signal)).denials;
}

/** Takes a denial away. @throws {StoreUnavailableError} */
export async function allow(store: LockStore, version: string, signal?: AbortSignal): Promise<void> {
  checkVersion(version);
  await store.commit([], [{ type: "delete", key: keyOf(DENIED_PREFIX, version) }], signal);
}

/**
 * All denied versions, now and after every change, until the signal aborts (then it just ends).
 *
 * @throws {StoreUnavailableError} when etcd does not answer: watch again later
 */
export async function* watchDenied(store: LockStore, signal: AbortSignal): AsyncIterable<ReadonlyMap<string, Denial>> {
  while (!signal.aborted) {
    const { denials, revision } = await readAll(store, signal);
    yield denials;
    await store.changed(DENIED_PREFIX, revision, signal);
  }
}

async function readAll(store: LockStore, signal?: AbortSignal) {
  const { entries, revision } = await store.read([{ prefix: DENIED_PREFIX }], signal);
  const denials = new Map<string, Denial>();
  for (const { key, value } of entries) {
    const version = nameOf(DENIED_PREFIX, key);
    if (version !== undefined) denials.set(version, parseDenial(version, value));
  }
  return { denials, revision };
}

function checkVersion(version: string): void {
  if (version !== "" && version.length <= VERSION_MAX && version.isWellFormed()) return;
  throw new LocksmithError("ERR_CONFIG", `a version has 1 to ${VERSION_MAX} characters`, { version });
}
