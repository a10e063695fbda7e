import { type BoundService, implement } from "@keelson/grpc";
import { KV, type RangeRequest, type RangeResponse, type RangeStreamResponse } from "@keelson/proto";
import { EtcdError } from "../core/errors.ts";
import type { EtcdServer } from "../server.ts";

const FIRST_CHUNK_KEYS = 10;

/** etcdserverpb.KV. */
export function kvService(server: EtcdServer): BoundService {
  return implement(KV, {
    range: (req) => server.kv.range(req),
    put: (req) => server.kv.put(req),
    deleteRange: (req) => server.kv.deleteRange(req),
    txn: (req) => server.kv.txn(req),
    compact: (req) => server.kv.compact(req),
    rangeStream: (req) => rangeStream(server, req),
  });
}

/**
 * A range in pieces of about one request's size, all at the revision of the first. Put together they are what Range
 * answers; header, count and more are on the last.
 */
async function* rangeStream(server: EtcdServer, req: RangeRequest): AsyncGenerator<RangeStreamResponse> {
  const filtered = req.minModRevision || req.maxModRevision || req.minCreateRevision || req.maxCreateRevision;
  if (filtered || req.sortTarget !== 0 || req.sortOrder === 2) throw new EtcdError("ERR_RANGE_STREAM_UNSUPPORTED");
  let wanted = req.limit > 0n ? Number(req.limit) : Number.POSITIVE_INFINITY;
  let piece = FIRST_CHUNK_KEYS;
  let next: RangeRequest = { ...req, limit: BigInt(Math.min(piece, wanted)) };
  let first: RangeResponse | undefined;
  for (;;) {
    const reply = await server.kv.range(next);
    first ??= reply;
    wanted -= reply.kvs.length;
    const last = reply.kvs.at(-1);
    if (!reply.more || wanted <= 0 || last === undefined || req.countOnly) {
      return yield chunk({ ...reply, ...(first.header && { header: first.header }), count: first.count });
    }
    yield chunk({ $typeName: "etcdserverpb.RangeResponse", kvs: reply.kvs, more: false, count: 0n });
    piece = nextPiece(piece, reply, server.config.maxRequestBytes);
    const revision = req.revision > 0n ? req.revision : (first.header?.revision ?? 0n);
    // The first piece was linearizable, and its revision is fixed now.
    next = {
      ...next,
      key: Buffer.concat([last.key, Buffer.from([0])]),
      limit: BigInt(Math.min(piece, wanted)),
      revision,
      serializable: true,
    };
  }
}

/** Twice as many keys, or half, so that a piece comes to about the size of the largest request. */
function nextPiece(piece: number, { kvs }: RangeResponse, targetBytes: number): number {
  const bytes = kvs.reduce((sum, kv) => sum + kv.key.length + kv.value.length, 0);
  if (bytes * 2 <= targetBytes) return piece * 2;
  return bytes > targetBytes ? Math.max(1, piece >> 1) : piece;
}

function chunk(rangeResponse: RangeResponse): RangeStreamResponse {
  return { $typeName: "etcdserverpb.RangeStreamResponse", rangeResponse };
}
