import { type ConfState, decodeConfState } from "@keelson/raft";
import type { KvStore, WriteOp } from "@keelson/storage";
import { CoreError } from "@keelson/types";
import { generationPrefix, generationRange, join, KIND } from "./core/keys.ts";
import { decodePosition, type LogPosition } from "./core/records.ts";

/** The stream of a snapshot broke off or makes no sense. The sender's Raft tries again. */
export class SnapshotError extends CoreError<"ERR_ETCD_SNAPSHOT"> {
  readonly code = "ERR_ETCD_SNAPSHOT";
}

const CHUNK_BYTES = 512 * 1024;
const GENERATION_BYTES = 5;
/** The largest key and value that a stream may name: far above any request, far below what could exhaust memory. */
const RECORD_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Streams a generation of the applied state as it is now, however it changes meanwhile: length-prefixed keys and values in
 * key order, in chunks of about half a mebibyte, and at the end an empty key with the number of records.
 */
export async function* readSnapshot(store: KvStore, generation: number): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  let records = 0;
  for await (const chunk of store.scan(generationRange(generation))) {
    for (const [stored, value] of chunk) {
      const key = stored.subarray(GENERATION_BYTES);
      parts.push(lengths(key.length, value.length), key, value);
      bytes += 8 + key.length + value.length;
      records++;
      if (bytes < CHUNK_BYTES) continue;
      yield Buffer.concat(parts);
      parts = [];
      bytes = 0;
    }
  }
  const count = Buffer.alloc(8);
  count.writeBigUInt64BE(BigInt(records));
  yield Buffer.concat([...parts, lengths(0, count.length), count]);
}

/** What a stream says at its head (which sorts first), and the stream again from its start. */
export interface SnapshotHead {
  readonly position: LogPosition;
  readonly confState: ConfState;
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** @throws SnapshotError */
export async function peekHead(chunks: AsyncIterable<Uint8Array>): Promise<SnapshotHead> {
  const iterator = chunks[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) throw new SnapshotError("the state is empty");
  const applied = recordAt(first.value, 0);
  const confState = recordAt(first.value, applied.next);
  if (applied.key[0] !== KIND.applied || confState.key[0] !== KIND.confState) {
    throw new SnapshotError("the state has no position or no configuration");
  }
  const head = first.value;
  const again = async function* () {
    try {
      yield head;
      yield* { [Symbol.asyncIterator]: () => iterator };
    } finally {
      await iterator.return?.();
    }
  };
  const position = decodePosition(applied.value, "the applied position");
  return { position, confState: decodeConfState(confState.value), chunks: again() };
}

function recordAt(chunk: Uint8Array, at: number): { key: Uint8Array; value: Uint8Array; next: number } {
  const view = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const valueAt = at + 8 + view.readUInt32BE(at);
  const next = valueAt + view.readUInt32BE(at + 4);
  return { key: view.subarray(at + 8, valueAt), value: view.subarray(valueAt, next), next };
}

/**
 * Stores a stream as a generation that nobody uses yet. @returns the number of records
 * @throws SnapshotError when the stream is cut short or malformed
 */
export async function writeSnapshot(
  store: KvStore,
  generation: number,
  chunks: AsyncIterable<Uint8Array>,
): Promise<number> {
  const prefix = generationPrefix(generation);
  let rest: Buffer = Buffer.alloc(0);
  let records = 0;
  let announced: number | undefined;
  for await (const chunk of chunks) {
    if (announced !== undefined) throw new SnapshotError("the stream goes on after its end");
    const data: Buffer =
      rest.length === 0 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength) : Buffer.concat([rest, chunk]);
    const ops: WriteOp[] = [];
    let at = 0;
    while (data.length - at >= 8) {
      const keyLength = data.readUInt32BE(at);
      const valueLength = data.readUInt32BE(at + 4);
      const size = keyLength + valueLength;
      if (size > RECORD_BYTES_MAX) throw new SnapshotError(`a record of ${size} bytes`, { size });
      if (data.length - at - 8 < size) break;
      const key = data.subarray(at + 8, at + 8 + keyLength);
      const value = data.subarray(at + 8 + keyLength, at + 8 + size);
      at += 8 + size;
      if (keyLength === 0) announced = Number(value.readBigUInt64BE());
      else ops.push({ type: "put", key: join(prefix, key), value });
    }
    rest = data.subarray(at);
    records += ops.length;
    // One at a time: memory holds one chunk, however large the state is.
    if (ops.length > 0) await store.write(ops, { sync: false });
  }
  if (announced === undefined) throw new SnapshotError("the stream was cut short", { records });
  if (announced !== records) {
    throw new SnapshotError(`${records} of ${announced} records arrived`, { records, announced });
  }
  return records;
}

function lengths(key: number, value: number): Uint8Array {
  const out = Buffer.allocUnsafe(8);
  out.writeUInt32BE(key, 0);
  out.writeUInt32BE(value, 4);
  return out;
}
