import type { MessageInitShape } from "@bufbuild/protobuf";
import { Status } from "@keelson/grpc";
import {
  Event_EventType,
  WatchCreateRequest_FilterType,
  type WatchCreateRequestSchema,
  type WatchResponse,
} from "@keelson/proto";
import { revisionOf } from "./convert.ts";
import { CompactedError, codeOfText, EtcdError } from "./errors.ts";
import { KeyValue } from "./key-value.ts";
import { toWireRange } from "./keys.ts";
import type { Watch, WatchBatch, WatchEvent, WatchOptions } from "./types.ts";

export const MAX_BUFFERED_EVENTS = 16_384;

/** What a watcher asks of the hub that carries it. */
export interface WatcherHost {
  /** Has room again: to be created anew from its next revision. */
  unpark(watcher: Watcher): void;
  /** Nobody reads it any more. */
  gone(watcher: Watcher): void;
}

/**
 * One watch: which revision comes next, and what its reader has not taken yet. Knows nothing of streams.
 *
 * Invariant: every event below `next` that matches was queued exactly once.
 */
export class Watcher implements Watch {
  readonly created: Promise<number>;
  readonly #host: WatcherHost;
  readonly #options: WatchOptions;
  readonly #wire: { key: Uint8Array; rangeEnd: Uint8Array };
  readonly #createdResolvers = Promise.withResolvers<number>();
  readonly #maxEvents: number;
  readonly #onAbort = () => this.cancel();
  #next: number | undefined;
  #queue: WatchBatch[] = [];
  #queuedEvents = 0;
  #waiting: PromiseWithResolvers<IteratorResult<WatchBatch>> | undefined;
  #error: EtcdError | undefined;
  #done = false;
  #parked = false;

  /** @throws {EtcdError} ERR_EMPTY_KEY */
  constructor(host: WatcherHost, options: WatchOptions) {
    this.#host = host;
    this.#options = options;
    this.#wire = toWireRange(options);
    this.#maxEvents = options.maxBufferedEvents ?? MAX_BUFFERED_EVENTS;
    this.#next = options.startRevision;
    this.created = this.#createdResolvers.promise;
    // Whoever does not look at it is told by the iteration.
    this.created.catch(() => undefined);
    options.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** True when no more may be delivered. */
  get over(): boolean {
    return this.#done || this.#error !== undefined;
  }

  /** The reader is too slow: its watch is cancelled at the server until it has caught up. */
  get parked(): boolean {
    return this.#parked;
  }

  /** The request that continues this watch on a new stream. */
  createRequest(): MessageInitShape<typeof WatchCreateRequestSchema> {
    return {
      ...this.#wire,
      startRevision: BigInt(this.#next ?? 0),
      progressNotify: this.#options.progressNotify === true,
      prevKv: this.#options.prevKv === true,
      filters: (this.#options.filters ?? []).map((f) =>
        f === "noput" ? WatchCreateRequest_FilterType.NOPUT : WatchCreateRequest_FilterType.NODELETE,
      ),
    };
  }

  /** The server took it: from now on its first revision is fixed. */
  onCreated(response: WatchResponse): void {
    this.#next ??= revisionOf(response.header) + 1;
    this.#createdResolvers.resolve(this.#next);
  }

  /** The server refused or ended it. */
  onCanceled(response: WatchResponse): void {
    const reason = response.cancelReason;
    if (response.compactRevision > 0n || codeOfText(reason) === "ERR_COMPACTED") {
      return this.fail(new CompactedError(Number(response.compactRevision)));
    }
    const text = reason === "" ? "etcdserver: watch canceled" : reason;
    const code = codeOfText(text) ?? "ERR_WATCH_CANCELED";
    const status = code === "ERR_PERMISSION_DENIED" ? Status.PERMISSION_DENIED : Status.CANCELLED;
    this.fail(new EtcdError(code, text, { status }));
  }

  /** Queues what is new of a response. */
  onEvents(response: WatchResponse): void {
    if (this.over || this.#parked) return;
    const next = this.#next ?? 0;
    const events = response.events.filter((e) => Number(e.kv?.modRevision ?? 0n) >= next).map(toEvent);
    const last = events.at(-1)?.kv.modRevision;
    if (last === undefined) return;
    this.#next = last + 1;
    this.#push({ revision: last, events, header: response.header });
    if (this.#queuedEvents > this.#maxEvents) this.#parked = true;
  }

  /** Nothing up to the response's revision is still to come. */
  onProgress(response: WatchResponse): void {
    const revision = revisionOf(response.header);
    if (this.over || this.#parked || this.#next === undefined || revision + 1 < this.#next) return;
    this.#next = revision + 1;
    if (this.#options.progressNotify === true) this.#push({ revision, events: [], header: response.header });
  }

  /** Ends the watch with an error, after what is queued. */
  fail(error: EtcdError): void {
    if (this.over) return;
    this.#error = error;
    this.#createdResolvers.reject(error);
    this.#leave();
    if (this.#waiting === undefined) return;
    this.#waiting.reject(error);
    this.#waiting = undefined;
    this.#toldError();
  }

  cancel(): void {
    this.#queue = [];
    if (this.over) return;
    this.#done = true;
    this.#createdResolvers.reject(new EtcdError("ERR_CANCELED", "the watch was cancelled"));
    this.#leave();
    this.#waiting?.resolve({ value: undefined, done: true });
    this.#waiting = undefined;
  }

  next(): Promise<IteratorResult<WatchBatch>> {
    const batch = this.#queue.shift();
    if (batch !== undefined) {
      this.#queuedEvents -= batch.events.length;
      if (this.#parked && this.#queuedEvents <= this.#maxEvents / 2) {
        this.#parked = false;
        this.#host.unpark(this);
      }
      return Promise.resolve({ value: batch, done: false });
    }
    if (this.#error !== undefined) {
      const error = this.#error;
      this.#toldError();
      return Promise.reject(error);
    }
    if (this.#done) return Promise.resolve({ value: undefined, done: true });
    this.#waiting ??= Promise.withResolvers();
    return this.#waiting.promise;
  }

  return(): Promise<IteratorResult<WatchBatch>> {
    this.cancel();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  // Told once; after it the iteration is over, as with a generator.
  #toldError(): void {
    this.#error = undefined;
    this.#done = true;
  }

  #push(batch: WatchBatch): void {
    if (this.#waiting !== undefined) {
      this.#waiting.resolve({ value: batch, done: false });
      this.#waiting = undefined;
      return;
    }
    // Progress says no more than the last one did.
    if (batch.events.length === 0 && this.#queue.at(-1)?.events.length === 0) this.#queue.pop();
    this.#queue.push(batch);
    this.#queuedEvents += batch.events.length;
  }

  #leave(): void {
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#host.gone(this);
  }
}

function toEvent(event: WatchResponse["events"][number]): WatchEvent {
  return {
    type: event.type === Event_EventType.DELETE ? "delete" : "put",
    kv: new KeyValue(event.kv ?? EMPTY),
    prevKv: event.prevKv === undefined ? undefined : new KeyValue(event.prevKv),
  };
}

const EMPTY = {
  key: new Uint8Array(),
  value: new Uint8Array(),
  createRevision: 0n,
  modRevision: 0n,
  version: 0n,
  lease: 0n,
};
