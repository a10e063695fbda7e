import type { KvStore, WriteOptions } from "./kv-store.ts";

/**
 * Deletes a range of any size in batches of at most `keysPerBatch`, in key order. Not atomic: after a crash a first part is
 * gone and the rest is there, so it suits what is unreachable already. Only the last batch is synced, if any.
 */
export async function deleteRangeInParts(
  store: KvStore,
  range: { readonly gte: Uint8Array; readonly lt: Uint8Array },
  options: WriteOptions & { readonly keysPerBatch?: number },
): Promise<number> {
  const perBatch = options.keysPerBatch ?? 10_000;
  let deleted = 0;
  let keys: Uint8Array[] = [];
  const flush = async (sync: boolean) => {
    await store.write(
      keys.map((key) => ({ type: "del", key })),
      { sync },
    );
    deleted += keys.length;
    keys = [];
  };
  for await (const entries of store.scan(range)) {
    for (const [key] of entries) {
      keys.push(key);
      if (keys.length >= perBatch) await flush(false);
    }
  }
  await flush(options.sync);
  return deleted;
}
