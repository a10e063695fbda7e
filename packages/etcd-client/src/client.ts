import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Channel, type ChannelOptions } from "@keelson/grpc";
import { SystemClock, SystemRandom } from "@keelson/log";
import { KV } from "@keelson/proto";
import { type Clock, type Logger, type Random, type Revision, silentLogger } from "@keelson/types";
import { Backoff } from "./backoff.ts";
import { Caller } from "./caller.ts";
import { ClusterClient } from "./cluster.ts";
import {
  fromDelete,
  fromPut,
  fromRange,
  fromTxn,
  toDeleteRequest,
  toPutRequest,
  toRangeRequest,
  toTxnRequest,
} from "./convert.ts";
import { EtcdElection, EtcdMutex } from "./election.ts";
import type { ParsedEndpoint } from "./endpoint.ts";
import { KeepAliver } from "./keep-aliver.ts";
import type { KeyValue } from "./key-value.ts";
import { toRange, toWireRange } from "./keys.ts";
import { Leases } from "./lease.ts";
import { EndpointPool } from "./pool.ts";
import { TxnBuilder } from "./txn.ts";
import type {
  Bytes,
  CallLimits,
  DeleteOptions,
  DeleteResult,
  Election,
  EtcdClientOptions,
  GetAllOptions,
  KeyRange,
  LeaseClient,
  Mutex,
  PutOptions,
  PutResult,
  RangeOptions,
  RangeResult,
  Txn,
  TxnSpec,
  Watch,
  WatchOptions,
} from "./types.ts";
import { WatchHub } from "./watch-hub.ts";

const RECONNECT_MIN_MS = 50;
const RECONNECT_MAX_MS = 2_000;
const PAGE_SIZE = 1_000;

/**
 * A client of an etcd v3 cluster, ours or upstream's. Nothing is connected before the first request.
 *
 * Reads fail over to other endpoints. A write is sent again only when it certainly was not applied; otherwise its error
 * has `outcomeUnknown`, and the caller must look.
 */
export class EtcdClient implements AsyncDisposable {
  readonly lease: LeaseClient;
  /** Members, their state, and maintenance. */
  readonly cluster: ClusterClient;
  readonly #pool: EndpointPool;
  readonly #caller: Caller;
  readonly #watches: WatchHub;
  readonly #keepAliver: KeepAliver;
  readonly #backoff: () => Backoff;

  /** @throws {EtcdError} ERR_INVALID_ENDPOINT */
  constructor(options: EtcdClientOptions) {
    const clock: Clock = options.clock ?? new SystemClock();
    const random: Random = options.random ?? new SystemRandom();
    const logger: Logger = options.logger ?? silentLogger;
    this.#backoff = () => new Backoff({ clock, random, minMs: RECONNECT_MIN_MS, maxMs: RECONNECT_MAX_MS });
    this.#pool = new EndpointPool({
      endpoints: options.endpoints,
      connect: (endpoint) => options.connect?.(endpoint.target) ?? connect(endpoint, options),
      clock,
      random,
      dialTimeoutMs: options.dialTimeoutMs ?? 2_000,
    });
    this.#caller = new Caller({
      pool: this.#pool,
      clock,
      logger,
      requestTimeoutMs: options.requestTimeoutMs ?? 5_000,
      credentials: options.credentials,
    });
    this.#watches = new WatchHub(this.#caller, this.#backoff(), logger);
    this.#keepAliver = new KeepAliver(this.#caller, this.#backoff(), clock, logger);
    this.lease = new Leases(this.#caller, this.#keepAliver, clock);
    this.cluster = new ClusterClient(this.#caller, clock);
  }

  /** One key, or undefined when it does not exist. */
  async get(key: Bytes, options: RangeOptions = {}): Promise<KeyValue | undefined> {
    return (await this.range({ key }, options)).kvs[0];
  }

  /** Everything that Range can do, in one answer. For many keys see {@link getAll}. */
  async range(range: Bytes | KeyRange, options: RangeOptions = {}): Promise<RangeResult> {
    const request = toRangeRequest(toRange(range), options);
    return fromRange(await this.#caller.unary("read", KV.method.range, request, options));
  }

  /** Every key of a range (text and bytes are a prefix here) as of one revision, fetched page by page. */
  async getAll(range: Bytes | KeyRange, options: GetAllOptions = {}): Promise<{ revision: Revision; kvs: KeyValue[] }> {
    const whole = typeof range === "string" || range instanceof Uint8Array ? { prefix: range } : range;
    if ("key" in whole) {
      const { revision, kvs } = await this.range(whole, options);
      return { revision, kvs: [...kvs] };
    }
    const limit = options.pageSize ?? PAGE_SIZE;
    const bounds = toWireRange(whole);
    const first = await this.range(whole, { ...options, limit });
    // The first page fixes the revision, unless the caller did.
    const revision = options.revision ?? first.revision;
    const kvs = [...first.kvs];
    for (let more = first.more, last = first.kvs.at(-1); more && last !== undefined; last = kvs.at(-1)) {
      const from = new Uint8Array(last.key.length + 1);
      from.set(last.key);
      const page = await this.range({ from, to: bounds.rangeEnd }, { ...options, limit, revision });
      kvs.push(...page.kvs);
      more = page.more;
    }
    return { revision, kvs };
  }

  async put(key: Bytes, value: Bytes, options: PutOptions = {}): Promise<PutResult> {
    const request = toPutRequest(key, value, options);
    return fromPut(await this.#caller.unary("write", KV.method.put, request, options));
  }

  async delete(range: Bytes | KeyRange, options: DeleteOptions = {}): Promise<DeleteResult> {
    const request = toDeleteRequest(toRange(range), options);
    return fromDelete(await this.#caller.unary("write", KV.method.deleteRange, request, options));
  }

  /** Starts a transaction: `client.txn().if(...).then(...).else(...).commit()`. */
  txn(): Txn {
    return new TxnBuilder(async (spec, limits) => {
      const kind = isReadOnly(spec) ? "read" : "write";
      return fromTxn(await this.#caller.unary(kind, KV.method.txn, toTxnRequest(spec), limits));
    });
  }

  /** Forgets history below `revision`; `physical` waits until the space is free. */
  async compact(revision: Revision, options: CallLimits & { readonly physical?: boolean } = {}): Promise<void> {
    const request = { revision: BigInt(revision), physical: options.physical === true };
    await this.#caller.unary("write", KV.method.compact, request, options);
  }

  /** Watches a key or a range. @throws {EtcdError} ERR_EMPTY_KEY */
  watch(options: WatchOptions): Watch {
    return this.#watches.watch(options);
  }

  /** Asks for progress; watches with `progressNotify` yield it once everything before has been delivered. */
  requestProgress(): Promise<void> {
    return this.#watches.requestProgress();
  }

  election(name: string): Election {
    return new EtcdElection(this, name);
  }

  lock(name: string): Mutex {
    return new EtcdMutex(this, name);
  }

  /** Any unary call of etcd's API, with the failover of its kind. @throws {EtcdError} */
  call<I extends DescMessage, O extends DescMessage>(
    kind: "read" | "write",
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    limits: CallLimits = {},
  ): Promise<MessageShape<O>> {
    return this.#caller.unary(kind, method, request, limits);
  }

  /** Waits as long as one reconnect does. For recipes that try again. */
  async pause(signal?: AbortSignal): Promise<void> {
    await this.#backoff().wait(signal);
  }

  /** Ends watches, stops renewing leases (they expire by themselves) and closes all connections. */
  close(): void {
    this.#watches.close();
    this.#keepAliver.close();
    this.#pool.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

function isReadOnly(spec: TxnSpec): boolean {
  return [...spec.success, ...spec.failure].every((o) => (o.type === "txn" ? isReadOnly(o.spec) : o.type === "get"));
}

function connect(endpoint: ParsedEndpoint, options: EtcdClientOptions): Channel {
  const channel: ChannelOptions = {
    keepAliveMs: options.keepAliveMs ?? 5_500,
    keepAliveTimeoutMs: options.keepAliveTimeoutMs ?? 2_500,
    maxReconnectBackoffMs: 1_000,
    ...(endpoint.tls ? { tls: options.tls ?? {} } : {}),
  };
  return new Channel(endpoint.target, channel);
}
