import type { BidiCall } from "@keelson/grpc";
import { Status } from "@keelson/grpc";
import {
  type WatchRequestSchema,
  type WatchResponse,
  type WatchResponseSchema,
  Watch as WatchService,
} from "@keelson/proto";
import type { Logger } from "@keelson/types";
import type { Backoff } from "./backoff.ts";
import type { Caller } from "./caller.ts";
import { EtcdError, toEtcdError } from "./errors.ts";
import type { Endpoint } from "./pool.ts";
import type { WatchOptions } from "./types.ts";
import { Watcher, type WatcherHost } from "./watcher.ts";

type Call = BidiCall<typeof WatchRequestSchema, typeof WatchResponseSchema>;

/** One stream to one server and the watches on it. */
interface Stream {
  readonly call: Call;
  readonly endpoint: Endpoint;
  /** Created but not answered yet, in the order of the requests: the server answers in that order. */
  readonly pending: Watcher[];
  readonly byId: Map<bigint, Watcher>;
  readonly ids: Map<Watcher, bigint>;
  /** We end it: no fault of the server. */
  closing: boolean;
}

/**
 * All watches of a client over one stream. When the stream breaks, each is created again on another server from the
 * revision after the last that was delivered. The stream asks for a member with a leader, so that one that is cut off
 * from its cluster ends it.
 */
export class WatchHub implements WatcherHost {
  readonly #caller: Caller;
  readonly #backoff: Backoff;
  readonly #logger: Logger;
  readonly #watchers = new Set<Watcher>();
  readonly #abort = new AbortController();
  #stream: Stream | undefined;
  #running = false;

  constructor(caller: Caller, backoff: Backoff, logger: Logger) {
    this.#caller = caller;
    this.#backoff = backoff;
    this.#logger = logger;
  }

  /** @throws {EtcdError} ERR_EMPTY_KEY */
  watch(options: WatchOptions): Watcher {
    const watcher = new Watcher(this, options);
    if (this.#abort.signal.aborted) watcher.fail(closed());
    else if (options.signal?.aborted === true) watcher.cancel();
    else {
      this.#watchers.add(watcher);
      this.#attach(watcher);
    }
    return watcher;
  }

  /** Asks the server to say up to which revision everything was sent. */
  async requestProgress(): Promise<void> {
    await this.#stream?.call.send({ requestUnion: { case: "progressRequest", value: {} } });
  }

  unpark(watcher: Watcher): void {
    this.#attach(watcher);
  }

  gone(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    this.#detach(watcher);
    // An idle stream costs a server memory; the next watch makes a new one.
    if (this.#watchers.size === 0) this.#endStream();
  }

  close(): void {
    this.#abort.abort();
    for (const watcher of this.#watchers) watcher.fail(closed());
    this.#endStream();
  }

  #endStream(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#stream = undefined;
    stream.closing = true;
    stream.call.cancel();
  }

  #attach(watcher: Watcher): void {
    if (this.#stream !== undefined) this.#create(this.#stream, watcher);
    else if (!this.#running) void this.#run();
  }

  #create(stream: Stream, watcher: Watcher): void {
    if (watcher.over || watcher.parked || stream.ids.has(watcher) || stream.pending.includes(watcher)) return;
    stream.pending.push(watcher);
    void stream.call.send({ requestUnion: { case: "createRequest", value: watcher.createRequest() } });
  }

  #detach(watcher: Watcher): void {
    const stream = this.#stream;
    const watchId = stream?.ids.get(watcher);
    // One that is still pending is cancelled when its id comes.
    if (stream === undefined || watchId === undefined) return;
    stream.ids.delete(watcher);
    stream.byId.delete(watchId);
    void stream.call.send({ requestUnion: { case: "cancelRequest", value: { watchId } } });
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#watchers.size > 0 && !this.#abort.signal.aborted) {
      const lost = await this.#serve();
      this.#stream = undefined;
      if (lost && this.#watchers.size > 0) await this.#backoff.wait(this.#abort.signal);
    }
    this.#running = false;
  }

  /** Runs one stream to its end. Returns whether it was lost, not ended by us. */
  async #serve(): Promise<boolean> {
    let endpoint: Endpoint | undefined;
    let stream: Stream | undefined;
    try {
      endpoint = await this.#caller.pool.pick(new Set(), this.#abort.signal);
      const metadata = await this.#caller.metadata(endpoint, { hasleader: "true" });
      if (this.#watchers.size === 0) return false;
      const call = endpoint.channel.bidi(WatchService.method.watch, { metadata });
      stream = { call, endpoint, pending: [], byId: new Map(), ids: new Map(), closing: false };
      this.#stream = stream;
      for (const watcher of this.#watchers) this.#create(stream, watcher);
      for await (const response of call) this.#onResponse(stream, response);
      if (!stream.closing) this.#caller.pool.failed(endpoint);
    } catch (error) {
      if (stream?.closing === true) return false;
      this.#onStreamError(toEtcdError(error, endpoint === undefined ? {} : { endpoint: endpoint.url }), endpoint);
    }
    return stream?.closing !== true;
  }

  #onResponse(stream: Stream, response: WatchResponse): void {
    if (response.created) return this.#onCreated(stream, response);
    const watcher = stream.byId.get(response.watchId);
    if (response.canceled) {
      if (watcher === undefined) return; // we cancelled it ourselves
      stream.byId.delete(response.watchId);
      stream.ids.delete(watcher);
      return watcher.onCanceled(response);
    }
    if (response.events.length === 0) return this.#onProgress(stream, response, watcher);
    if (watcher === undefined) return;
    watcher.onEvents(response);
    if (watcher.parked) this.#detach(watcher);
  }

  #onCreated(stream: Stream, response: WatchResponse): void {
    const watcher = stream.pending.shift();
    if (watcher === undefined) return;
    if (response.canceled) return watcher.onCanceled(response);
    this.#backoff.reset();
    this.#caller.pool.worked(stream.endpoint);
    stream.byId.set(response.watchId, watcher);
    stream.ids.set(watcher, response.watchId);
    if (watcher.over || watcher.parked) this.#detach(watcher);
    else watcher.onCreated(response);
  }

  #onProgress(stream: Stream, response: WatchResponse, watcher: Watcher | undefined): void {
    if (watcher !== undefined) watcher.onProgress(response);
    else if (response.watchId === -1n) for (const one of stream.byId.values()) one.onProgress(response);
  }

  #onStreamError(error: EtcdError, endpoint: Endpoint | undefined): void {
    if (this.#watchers.size === 0 || this.#abort.signal.aborted) return;
    this.#logger.debug("watch stream broke", { endpoint: endpoint?.url, watches: this.#watchers.size, error });
    if (endpoint !== undefined) this.#caller.pool.failed(endpoint);
    if (error.status === Status.UNAUTHENTICATED) this.#caller.forgetToken();
    else if (HOPELESS.has(error.status) && error.code !== "ERR_NOT_SUPPORTED_FOR_LEARNER") {
      for (const watcher of this.#watchers) watcher.fail(error);
    }
  }
}

// A new stream would be refused in the same way.
const HOPELESS: ReadonlySet<Status> = new Set([
  Status.INVALID_ARGUMENT,
  Status.PERMISSION_DENIED,
  Status.UNIMPLEMENTED,
  Status.FAILED_PRECONDITION,
]);

function closed(): EtcdError {
  return new EtcdError("ERR_CLIENT_CLOSED", "the etcd client is closed", { status: Status.CANCELLED });
}
