import { type BoundService, type CallContext, implement } from "@keelson/grpc";
import { isEmptyRange, keyRange, type Watcher, type WatchFilter, type WatchHub } from "@keelson/mvcc";
import { Watch, type WatchCreateRequest, type WatchRequest, type WatchResponse } from "@keelson/proto";
import { assert } from "@keelson/types";
import { fromEvent } from "../core/convert.ts";
import type { EtcdServer } from "../server.ts";
import { losesLeader } from "./require-leader.ts";

/** The id of a watch that could not be created, and of what concerns the whole stream. */
const NO_WATCH = -1n;
const ZERO_KEY = new Uint8Array([0]);
/** By the numbers of the API; others filter nothing. */
const FILTERS: readonly (readonly WatchFilter[])[] = [["noput"], ["nodelete"]];
/** Larger than the largest request by the overhead that upstream allows (grpcOverheadBytes). */
const OVERHEAD_BYTES = 512 * 1024;
/** Answers to creations and cancellations that may wait for a slow reader; then reading the requests pauses. */
const CONTROL_MAX = 1_024;
const WATCHES_MAX = 100_000;

/** etcdserverpb.Watch. */
export function watchService(server: EtcdServer): BoundService {
  return implement(Watch, {
    watch: (requests, context) => new WatchStream(server, context).run(requests),
  });
}

interface Watching {
  /** Chosen by the client, unless 0: any other number, also a negative one. */
  readonly id: bigint;
  readonly watcher: Watcher;
  readonly prevKv: boolean;
  readonly progressNotify: boolean;
  /** Something was delivered since the last progress notification was due. */
  busy: boolean;
}

/** One client's stream of watches: requests come in, responses are pulled out as fast as the client reads. */
class WatchStream {
  readonly #server: EtcdServer;
  readonly #context: CallContext;
  readonly #hub: WatchHub;
  readonly #watches = new Map<bigint, Watching>();
  readonly #ready = new Set<Watching>();
  #control: WatchResponse[] = [];
  #progressWanted = false;
  #nextId = 0n;
  #wake: (() => void) | undefined;
  #taken: (() => void) | undefined;
  #error: unknown;
  #ended = false;

  constructor(server: EtcdServer, context: CallContext) {
    this.#server = server;
    this.#context = context;
    this.#hub = server.hub;
  }

  async *run(requests: AsyncIterable<WatchRequest>): AsyncGenerator<WatchResponse> {
    const timers = [this.#progressTimer(), losesLeader(this.#server, this.#context, (error) => this.#fail(error))];
    const onAbort = () => this.#fail(this.#context.signal.reason);
    this.#context.signal.addEventListener("abort", onAbort, { once: true });
    void this.#read(requests);
    try {
      for (;;) {
        if (this.#error !== undefined) throw this.#error;
        const response = this.#next();
        if (response !== undefined) yield response;
        else if (this.#ended) return;
        else if (this.#ready.size > 0) await this.#breathe();
        else await this.#sleep();
      }
    } finally {
      for (const timer of timers) timer?.[Symbol.dispose]();
      this.#context.signal.removeEventListener("abort", onAbort);
      for (const { watcher } of this.#watches.values()) this.#hub.cancel(watcher);
      this.#watches.clear();
      this.#taken?.();
      this.#ended = true;
    }
  }

  async #read(requests: AsyncIterable<WatchRequest>): Promise<void> {
    try {
      for await (const { requestUnion } of requests) {
        if (this.#ended) return;
        if (requestUnion.case === "createRequest") this.#create(requestUnion.value);
        else if (requestUnion.case === "cancelRequest") this.#cancel(requestUnion.value.watchId);
        else if (requestUnion.case === "progressRequest") this.#progressWanted = true;
        this.#stir();
        if (this.#control.length >= CONTROL_MAX) await this.#untilTaken();
      }
      // The client has nothing more to say and will go; as upstream, that ends the stream.
      this.#ended = true;
      this.#stir();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The next response, if there is one: answers first, so that `created` comes before a watch's events. */
  #next(): WatchResponse | undefined {
    const control = this.#control.shift();
    if (control !== undefined) {
      this.#taken?.();
      return control;
    }
    // A copy: those that have more are put back, and come again with the next call.
    for (const watching of Array.from(this.#ready)) {
      const response = this.#pull(watching);
      if (response !== undefined) return response;
    }
    return this.#progress();
  }

  #pull(watching: Watching): WatchResponse | undefined {
    this.#ready.delete(watching);
    const pulled = this.#hub.pull(watching.watcher, this.#server.config.maxRequestBytes + OVERHEAD_BYTES);
    // Behind all others, so that one that is far behind does not starve them.
    if (pulled.type !== "compacted" && pulled.more) this.#ready.add(watching);
    switch (pulled.type) {
      case "nothing":
        return undefined;
      case "compacted":
        this.#watches.delete(watching.id);
        return this.#response(watching.id, { canceled: true, compactRevision: BigInt(pulled.compactRevision) }, 0);
      case "events":
        watching.busy = true;
        return this.#response(
          watching.id,
          { fragment: pulled.fragment, events: pulled.events.map((e) => fromEvent(e, watching.prevKv)) },
          Math.max(pulled.revision, 0),
        );
    }
  }

  /** The answer to a progress request: only when every watch of the stream has seen everything. */
  #progress(): WatchResponse | undefined {
    if (!this.#progressWanted) return undefined;
    const watchers = [...this.#watches.values()].map((w) => w.watcher);
    const revision = this.#hub.progressAll(watchers);
    if (revision === undefined) return undefined;
    this.#progressWanted = false;
    return this.#response(NO_WATCH, {}, revision);
  }

  #create(req: WatchCreateRequest): void {
    if (req.startRevision < 0n) {
      return this.#refuse("etcdserver: mvcc: required revision has been compacted");
    }
    // Before an id is chosen: the next watch gets the one that this would have had.
    const key = req.key.length === 0 ? ZERO_KEY : req.key;
    if (isEmptyRange(keyRange(key, req.rangeEnd))) return this.#refuse("mvcc: watcher range is empty");
    const id = this.#chooseId(req.watchId);
    if (id === undefined) return this.#refuse("mvcc: duplicate watch ID provided on the WatchStream");
    if (this.#watches.size >= WATCHES_MAX) return this.#refuse("etcdserver: too many watches on one stream");
    const holder: { watching?: Watching } = {};
    const creation = this.#hub.create({
      id: Number(id),
      key,
      end: req.rangeEnd,
      startRevision: Number(req.startRevision),
      filters: req.filters.flatMap((f): readonly WatchFilter[] => FILTERS[f] ?? []),
      prevKv: req.prevKv,
      fragment: req.fragment,
      onReady: () => {
        if (holder.watching === undefined) return;
        this.#ready.add(holder.watching);
        this.#stir();
      },
    });
    assert(creation.type !== "emptyRange", "an empty range was refused before");
    this.#control.push(this.#response(id, { created: true }));
    if (creation.type === "compacted") {
      const compactRevision = BigInt(creation.compactRevision);
      // Without a revision in the header, as upstream.
      this.#control.push(this.#response(id, { canceled: true, compactRevision }, 0));
      return;
    }
    const { watcher } = creation;
    const watching = { id, watcher, prevKv: req.prevKv, progressNotify: req.progressNotify, busy: false };
    holder.watching = watching;
    this.#watches.set(id, watching);
    if (!watcher.synced) this.#ready.add(watching);
  }

  #chooseId(asked: bigint): bigint | undefined {
    if (asked !== 0n) return this.#watches.has(asked) ? undefined : asked;
    while (this.#watches.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  #refuse(cancelReason: string): void {
    this.#control.push(this.#response(NO_WATCH, { created: true, canceled: true, cancelReason }));
  }

  #cancel(id: bigint): void {
    const watching = this.#watches.get(id);
    if (watching === undefined) return;
    this.#hub.cancel(watching.watcher);
    this.#watches.delete(id);
    this.#ready.delete(watching);
    this.#control.push(this.#response(id, { canceled: true }));
  }

  #response(id: bigint, fields: Partial<WatchResponse>, revision = this.#hub.revision): WatchResponse {
    const { state, term } = this.#server.member;
    return {
      $typeName: "etcdserverpb.WatchResponse",
      header: state.header(term, revision),
      watchId: id,
      created: false,
      canceled: false,
      compactRevision: 0n,
      cancelReason: "",
      fragment: false,
      events: [],
      ...fields,
    };
  }

  #progressTimer(): Disposable {
    return this.#server.clock.every(this.#server.config.watchProgressNotifyMs, () => {
      for (const watching of this.#watches.values()) {
        if (!watching.progressNotify) continue;
        const revision = watching.busy ? undefined : this.#hub.progress(watching.watcher);
        watching.busy = false;
        // A reader that does not even take these needs no more of them.
        if (revision === undefined || this.#control.length >= CONTROL_MAX) continue;
        this.#control.push(this.#response(watching.id, {}, revision));
      }
      this.#stir();
    });
  }

  #fail(error: unknown): void {
    this.#error ??= error ?? new Error("the stream was closed");
    this.#stir();
  }

  #stir(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** The search through a long history goes on after others had their turn. */
  #breathe(): Promise<void> {
    return new Promise((resolve) => void this.#server.clock.after(0, resolve));
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #untilTaken(): Promise<void> {
    return new Promise((resolve) => {
      this.#taken = resolve;
    });
  }
}
