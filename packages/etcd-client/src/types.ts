import type { Channel, ChannelTls } from "@keelson/grpc";
import type { ResponseHeader } from "@keelson/proto";
import type { Clock, LeaseId, Logger, MemberId, Random, Revision } from "@keelson/types";
import type { KeyValue } from "./key-value.ts";

/** A key or value as the caller has it; text is UTF-8. */
export type Bytes = string | Uint8Array;

/** One key; every key with a prefix (`""` for all); or `[from, to)`, where no `to` means to the end. */
export type KeyRange =
  | { readonly key: Bytes }
  | { readonly prefix: Bytes }
  | { readonly from: Bytes; readonly to?: Bytes | undefined };

export interface EtcdClientOptions {
  /** `http://host:port`, `https://host:port`, `unix:///path`, or `host:port`. At least one. */
  readonly endpoints: readonly string[];
  /** For one attempt to connect to one endpoint, milliseconds. Default 2000. */
  readonly dialTimeoutMs?: number;
  /** For one request with all its attempts, milliseconds. Default 5000. */
  readonly requestTimeoutMs?: number;
  /** Pings of open connections, milliseconds; etcd allows no less than 5000. Default 5500. */
  readonly keepAliveMs?: number;
  /** A ping without answer for this long means a lost connection. Default 2500. */
  readonly keepAliveTimeoutMs?: number;
  /** For `https` endpoints. */
  readonly tls?: ChannelTls;
  readonly credentials?: { readonly user: string; readonly password: string };
  readonly logger?: Logger;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Makes the connection to an endpoint; tests put their own here. */
  readonly connect?: (target: string) => Channel;
}

export interface CallLimits {
  readonly signal?: AbortSignal | undefined;
  /** Instead of the client's requestTimeoutMs. */
  readonly timeoutMs?: number | undefined;
}

export interface RangeOptions extends CallLimits {
  /** Default: the latest. */
  readonly revision?: Revision | undefined;
  readonly limit?: number | undefined;
  /** Read from the member at hand without asking the leader: may be stale. */
  readonly serializable?: boolean | undefined;
  readonly keysOnly?: boolean | undefined;
  readonly countOnly?: boolean | undefined;
  readonly sort?: {
    readonly by: "key" | "version" | "create" | "mod" | "value";
    readonly order: "ascend" | "descend";
  };
  readonly minModRevision?: Revision | undefined;
  readonly maxModRevision?: Revision | undefined;
  readonly minCreateRevision?: Revision | undefined;
  readonly maxCreateRevision?: Revision | undefined;
}

export interface RangeResult {
  /** The store's revision when it was read. */
  readonly revision: Revision;
  readonly kvs: readonly KeyValue[];
  /** There were more keys than `limit`. */
  readonly more: boolean;
  /** All keys in the range, whatever `limit` and filters say. */
  readonly count: number;
}

export interface GetAllOptions extends CallLimits {
  readonly revision?: Revision | undefined;
  /** Keys a request. Default 1000. */
  readonly pageSize?: number | undefined;
  readonly serializable?: boolean | undefined;
  readonly keysOnly?: boolean | undefined;
}

export interface PutOptions extends CallLimits {
  readonly lease?: LeaseId | { readonly id: LeaseId } | undefined;
  readonly prevKv?: boolean | undefined;
  /** Keep the value (the key must exist) and change only the lease. */
  readonly ignoreValue?: boolean | undefined;
  /** Keep the lease (the key must exist) and change only the value. */
  readonly ignoreLease?: boolean | undefined;
}

export interface PutResult {
  readonly revision: Revision;
  readonly prevKv: KeyValue | undefined;
}

export interface DeleteOptions extends CallLimits {
  readonly prevKv?: boolean | undefined;
}

export interface DeleteResult {
  readonly revision: Revision;
  readonly deleted: number;
  readonly prevKvs: readonly KeyValue[];
}

export interface WatchEvent {
  readonly type: "put" | "delete";
  /** For a delete: only key and modRevision are set. */
  readonly kv: KeyValue;
  /** With the option `prevKv`, when the key existed and its old version is not compacted. */
  readonly prevKv: KeyValue | undefined;
}

/**
 * Events in order. Every event up to `revision` that matches has now been delivered; events of one revision always come
 * in one batch. `events` is empty for progress.
 */
export interface WatchBatch {
  readonly revision: Revision;
  readonly events: readonly WatchEvent[];
  /** Of the server's response that brought it. */
  readonly header: ResponseHeader | undefined;
}

export type WatchOptions = KeyRange & {
  /** First revision wanted. Default: what comes after the creation of the watch. */
  readonly startRevision?: Revision | undefined;
  readonly prevKv?: boolean | undefined;
  /** Drops events at the server. */
  readonly filters?: readonly ("noput" | "nodelete")[] | undefined;
  /** Also yield empty batches while nothing happens, each server interval (10 min by default). */
  readonly progressNotify?: boolean | undefined;
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal | undefined;
  /** Events held for a slow reader before the watch is parked at the server's side. Default 16384. */
  readonly maxBufferedEvents?: number | undefined;
};

/**
 * A watch. It survives reconnects: no event is lost or repeated. Iteration throws CompactedError when the wanted revision is
 * gone, and EtcdError when the server refuses the watch. Breaking off the iteration cancels it.
 */
export interface Watch extends AsyncIterableIterator<WatchBatch> {
  /** Resolves with the first revision that will be delivered, once a server has accepted the watch. */
  readonly created: Promise<Revision>;
  cancel(): void;
}

/** A lease that keeps itself alive until it is revoked, lost, or its client closed. */
export interface Lease extends AsyncDisposable {
  readonly id: LeaseId;
  /** As granted, seconds. */
  readonly ttl: number;
  /**
   * Fires when the lease is certainly over: by this machine's monotonic clock, counted from the sending of the last
   * renewal that was answered, or because a server said so, or because it was revoked here. The reason is LeaseLostError.
   */
  readonly lost: AbortSignal;
  /** Milliseconds of the monotonic clock until `lost` fires if no renewal succeeds. */
  remainingMs(): number;
  /** Deletes the lease and its keys. */
  revoke(limits?: CallLimits): Promise<void>;
}

export interface LeaseInfo {
  readonly id: LeaseId;
  /** Seconds left; -1 when there is no such lease. */
  readonly ttl: number;
  readonly grantedTtl: number;
  readonly keys: readonly Uint8Array[];
}

export interface LeaseClient {
  /** @throws {EtcdError} ERR_LEASE_EXIST, ERR_LEASE_TTL_TOO_LARGE, … */
  grant(ttlS: number, options?: CallLimits & { readonly id?: LeaseId; readonly keepAlive?: boolean }): Promise<Lease>;
  revoke(id: LeaseId, limits?: CallLimits): Promise<void>;
  /** One renewal. Resolves with the new time to live in seconds; 0 when there is no such lease. */
  keepAliveOnce(id: LeaseId, limits?: CallLimits): Promise<number>;
  timeToLive(id: LeaseId, options?: CallLimits & { readonly keys?: boolean }): Promise<LeaseInfo>;
  list(limits?: CallLimits): Promise<readonly LeaseId[]>;
}

export interface ContendOptions {
  readonly lease: Lease;
  /** Stops waiting, withdraws and throws. */
  readonly signal?: AbortSignal | undefined;
}

/** A key of ours that is the oldest under its prefix. */
export interface Ownership extends AsyncDisposable {
  /** `<name>/<lease in hex>` */
  readonly key: string;
  /** Create revision of the key: grows with each owner, so it is a fencing token. */
  readonly revision: Revision;
  /** True as long as we own: put it into the `if` of every transaction that only the owner may do. */
  compare(): Compare;
  /** Fires when the lease is lost or the key is deleted by somebody. */
  readonly lost: AbortSignal;
}

export interface Leadership extends Ownership {
  /** Changes the announced value. @throws {NotOwnerError} */
  proclaim(value: Bytes): Promise<void>;
  resign(): Promise<void>;
}

export interface HeldLock extends Ownership {
  release(): Promise<void>;
}

export interface Election {
  /** Resolves when elected. @throws {LeaseLostError} */
  campaign(value: Bytes, options: ContendOptions): Promise<Leadership>;
  /** The leader's key and value, or undefined when there is none. */
  leader(limits?: CallLimits): Promise<KeyValue | undefined>;
  /** The present leader and every later one, with their proclamations. */
  observe(options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<KeyValue>;
}

export interface Mutex {
  /** Resolves when the lock is held. @throws {LeaseLostError} */
  acquire(options: ContendOptions): Promise<HeldLock>;
  /** Undefined when somebody else holds it. */
  tryAcquire(options: ContendOptions): Promise<HeldLock | undefined>;
}

export type CompareOperator = "=" | "!=" | ">" | "<";

/** A condition of a transaction; made by {@link compare}. */
export interface Compare {
  readonly target: "version" | "create" | "mod" | "value" | "lease";
  readonly range: KeyRange;
  readonly operator: CompareOperator;
  readonly operand: number | bigint | Uint8Array;
}

/** An operation of a transaction; made by {@link op}. */
export type Op =
  | { readonly type: "get"; readonly range: KeyRange; readonly options: RangeOptions }
  | { readonly type: "put"; readonly key: Bytes; readonly value: Bytes; readonly options: PutOptions }
  | { readonly type: "delete"; readonly range: KeyRange; readonly options: DeleteOptions }
  | { readonly type: "txn"; readonly spec: TxnSpec };

export interface TxnSpec {
  readonly compares: readonly Compare[];
  readonly success: readonly Op[];
  readonly failure: readonly Op[];
}

export type OpResult =
  | ({ readonly type: "get" } & RangeResult)
  | ({ readonly type: "put" } & PutResult)
  | ({ readonly type: "delete" } & DeleteResult)
  | ({ readonly type: "txn" } & TxnResult);

export interface TxnResult {
  readonly revision: Revision;
  /** Every compare held, so the success operations ran. */
  readonly succeeded: boolean;
  /** One for each operation that ran, in order. */
  readonly results: readonly OpResult[];
}

/** Builds a transaction: `client.txn().if(...).then(...).else(...).commit()`. */
export interface Txn {
  if(...compares: readonly Compare[]): Txn;
  then(...ops: readonly Op[]): Txn;
  else(...ops: readonly Op[]): Txn;
  commit(limits?: CallLimits): Promise<TxnResult>;
}

export interface ClusterMember {
  readonly id: MemberId;
  /** Empty as long as the member has not started. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

export interface MemberStatus {
  readonly endpoint: string;
  readonly memberId: MemberId;
  readonly clusterId: bigint;
  readonly version: string;
  readonly dbSize: number;
  readonly dbSizeInUse: number;
  /** 0n when there is none. */
  readonly leader: MemberId;
  readonly revision: Revision;
  readonly raftTerm: number;
  readonly raftIndex: number;
  readonly raftAppliedIndex: number;
  readonly isLearner: boolean;
  readonly errors: readonly string[];
}

export interface EndpointHealth {
  readonly endpoint: string;
  readonly healthy: boolean;
  readonly tookMs: number;
  readonly error: Error | undefined;
}
