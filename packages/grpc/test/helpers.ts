import { create } from "@bufbuild/protobuf";
import {
  KV,
  type PutRequest,
  PutResponseSchema,
  type RangeRequest,
  RangeResponseSchema,
  RangeStreamResponseSchema,
  Watch,
  type WatchRequest,
  WatchResponseSchema,
} from "@keelson/proto";
import { type BoundService, type CallContext, Encoded, implement, Metadata, RpcError, Status } from "../src/index.ts";

export const utf8 = (s: string): Uint8Array => new TextEncoder().encode(s);
export const text = (b: Uint8Array | undefined): string => new TextDecoder().decode(b);

/** Waits for a condition instead of sleeping. */
export async function until(what: string, condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`timed out waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export interface Seen {
  readonly contexts: CallContext[];
  aborted: number;
  finished: number;
}

/** An echo dressed as etcd: the key says what to do. */
export function echoServices(seen: Seen = { contexts: [], aborted: 0, finished: 0 }): BoundService[] {
  const kv = implement(KV, {
    range: (request: RangeRequest, context) => {
      seen.contexts.push(context);
      return rangeReply(request, context, seen);
    },
    put: (request: PutRequest) => create(PutResponseSchema, { prevKv: { key: request.key, value: request.value } }),
    async *rangeStream(request, context) {
      seen.contexts.push(context);
      try {
        for (let i = 0n; i < request.limit; i++) {
          const reply = create(RangeStreamResponseSchema, {
            rangeResponse: { count: i, kvs: [{ value: request.key }] },
          });
          yield i % 2n === 0n ? reply : Encoded.fromMessage(RangeStreamResponseSchema, reply);
        }
        if (request.revision < 0n) throw new RpcError(Status.OUT_OF_RANGE, "after some messages");
      } finally {
        seen.finished++;
      }
    },
  });
  const watch = implement(Watch, {
    async *watch(requests: AsyncIterable<WatchRequest>, context) {
      seen.contexts.push(context);
      context.signal.addEventListener("abort", () => seen.aborted++);
      let id = 0n;
      for await (const request of requests) {
        const key = request.requestUnion.case === "createRequest" ? request.requestUnion.value.key : utf8("");
        yield create(WatchResponseSchema, { watchId: id++, cancelReason: text(key) });
      }
    },
  });
  return [kv, watch];
}

async function rangeReply(request: RangeRequest, context: CallContext, seen: Seen) {
  const key = text(request.key);
  if (key === "fail") {
    throw new RpcError(Status.FAILED_PRECONDITION, "etcdserver: 50% – nö\n", {
      metadata: new Metadata().add("grpc-status-details-bin", new Uint8Array([8, 9, 0xff])).add("x-more", "yes"),
    });
  }
  if (key === "throw") throw new TypeError("plain failure");
  if (key === "hang") {
    await new Promise<void>((resolve) => {
      context.signal.addEventListener("abort", () => {
        seen.aborted++;
        resolve();
      });
    });
  }
  if (key === "meta") context.trailer("x-trailer", context.metadata.get("x-request") ?? "none");
  return create(RangeResponseSchema, { count: request.limit, kvs: [{ key: request.key, value: request.rangeEnd }] });
}
