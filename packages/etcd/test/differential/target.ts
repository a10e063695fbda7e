import { type BidiCall, type Channel, RpcError, Status } from "@keelson/grpc";
import {
  Cluster,
  Lease,
  Watch,
  type WatchRequest,
  type WatchRequestSchema,
  type WatchResponse,
  type WatchResponseSchema,
} from "@keelson/proto";
import { STREAMS, type Step } from "./generate.ts";
import { type Identity, isProgress, type Plain, plain, plainError, revisionOf, watchEntries } from "./normalise.ts";

const TIMEOUT_MS = 10_000;

/** What a server answered to one step. */
export interface Outcome {
  readonly plain: Plain;
  readonly ok: boolean;
  readonly revision: number;
}

/** One of the two servers. */
export class Target implements Disposable {
  readonly channel: Channel;
  readonly identity: Identity;
  readonly streams: readonly Stream[];

  private constructor(channel: Channel, identity: Identity) {
    this.channel = channel;
    this.identity = identity;
    this.streams = Array.from({ length: STREAMS }, () => new Stream(channel, identity));
  }

  static async connect(channel: Channel): Promise<Target> {
    const { header } = await channel.unary(Cluster.method.memberList, {}, { timeoutMs: TIMEOUT_MS });
    return new Target(channel, { clusterId: header?.clusterId ?? 0n, memberId: header?.memberId ?? 0n });
  }

  async run(step: Extract<Step, { kind: "unary" | "keepAlive" }>): Promise<Outcome> {
    try {
      const response = step.kind === "unary" ? await this.#unary(step) : await this.#keepAlive(step.id);
      return { plain: plain(response, this.identity), ok: true, revision: revisionOf(response) };
    } catch (error) {
      return { plain: plainError(error), ok: false, revision: 0 };
    }
  }

  #unary({ method, request }: Extract<Step, { kind: "unary" }>) {
    return this.channel.unary(method, request, { timeoutMs: TIMEOUT_MS });
  }

  async #keepAlive(ID: bigint) {
    const call = this.channel.bidi(Lease.method.leaseKeepAlive, { timeoutMs: TIMEOUT_MS });
    await call.send({ ID });
    const { value, done } = await call.next();
    call.cancel();
    if (done === true) throw new RpcError(Status.INTERNAL, "the stream ended");
    return value;
  }

  [Symbol.dispose](): void {
    for (const stream of this.streams) stream[Symbol.dispose]();
    this.channel.close();
  }
}

/** A stream of watches and everything that came on it, by watch. */
export class Stream implements Disposable {
  readonly #call: BidiCall<typeof WatchRequestSchema, typeof WatchResponseSchema>;
  readonly #log = new Map<string, string[]>();
  readonly #live = new Set<bigint>();
  readonly #dead = new Set<bigint>();
  /** Answers to creations and cancellations. */
  controls = 0;
  /** The revision that the last progress response told. */
  progress = 0;
  /** The highest revision of an event. */
  seen = 0;
  compacted = 0;
  /** How the stream ended by itself. */
  #ended: string | undefined;

  constructor(channel: Channel, identity: Identity) {
    this.#call = channel.bidi(Watch.method.watch, {});
    void this.#read(identity);
  }

  send(request: Partial<WatchRequest>): Promise<void> {
    return this.#call.send({ requestUnion: request.requestUnion ?? { case: undefined } });
  }

  get hasWatches(): boolean {
    return this.#live.size > 0;
  }

  /** How many answers a request will have. */
  answersTo({ requestUnion }: Partial<WatchRequest>): number {
    if (requestUnion?.case === "createRequest") return 1;
    return requestUnion?.case === "cancelRequest" && this.#live.has(requestUnion.value.watchId) ? 1 : 0;
  }

  /** Whether a request is about a watch that a compaction has cancelled. */
  isAboutDead({ requestUnion }: Partial<WatchRequest>): boolean {
    return this.#dead.has((requestUnion?.value as { watchId?: bigint } | undefined)?.watchId ?? 0n);
  }

  /** What came and has not been compared yet. */
  get log(): Plain {
    const watches = [...this.#log].toSorted(([a], [b]) => (a < b ? -1 : 1));
    return [...watches.map(([watch, entries]) => ({ watch, entries })), ...(this.#ended ? [this.#ended] : [])];
  }

  /** Forgets what has been compared. */
  clear(): void {
    this.#log.clear();
  }

  async #read(identity: Identity): Promise<void> {
    try {
      for await (const response of this.#call) {
        const isBurial = this.#dead.has(response.watchId) && response.canceled && response.compactRevision === 0n;
        if (isBurial) this.#dead.delete(response.watchId);
        if (isBurial) continue;
        this.#track(response);
        for (const [watch, entry] of watchEntries(response, identity, this.compacted)) {
          const entries = this.#log.get(watch);
          if (entries === undefined) this.#log.set(watch, [entry]);
          else entries.push(entry);
        }
      }
      this.#ended = "ended";
    } catch (error) {
      this.#ended = JSON.stringify(plainError(error));
    }
  }

  #track(response: WatchResponse): void {
    const { watchId, created, canceled, compactRevision, events } = response;
    if (canceled && compactRevision > 0n && !created) {
      this.#dead.add(watchId);
      // Upstream answers this, and until then tells no progress on the stream and lets nobody have the id.
      const value = { $typeName: "etcdserverpb.WatchCancelRequest", watchId } as const;
      void this.send({ requestUnion: { case: "cancelRequest", value } });
    } else this.#dead.delete(watchId);
    if (isProgress(response)) this.progress = revisionOf(response);
    for (const { kv } of events) this.seen = Math.max(this.seen, Number(kv?.modRevision ?? 0n));
    if (created && !canceled) this.#live.add(watchId);
    if (canceled && !created) this.#live.delete(watchId);
    if (created || (canceled && compactRevision === 0n)) this.controls++;
  }

  [Symbol.dispose](): void {
    this.#call.cancel();
  }
}
