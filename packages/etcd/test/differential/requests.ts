import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type CompactionRequestSchema,
  type Compare,
  type Compare_CompareResult,
  type Compare_CompareTarget,
  CompareSchema,
  type DeleteRangeRequestSchema,
  type PutRequest,
  PutRequestSchema,
  type RangeRequest,
  type RangeRequest_SortOrder,
  type RangeRequest_SortTarget,
  RangeRequestSchema,
  type RequestOp,
  RequestOpSchema,
  type TxnRequest,
  TxnRequestSchema,
  WatchCancelRequestSchema,
  type WatchCreateRequest,
  type WatchCreateRequest_FilterType,
  WatchCreateRequestSchema,
} from "@keelson/proto";
import type { Prng } from "@keelson/testkit";

/** What the generator knows of the servers' state. */
export interface World {
  revision: number;
  compacted: number;
  readonly leases: Set<bigint>;
}

const encoder = new TextEncoder();
const KEYS: readonly Uint8Array[] = [
  ...["a", "b", "c", "aa", "ab", "ab/1", "ab/2", "b\0", "foo", "foo/bar", "\0"].map((text) => encoder.encode(text)),
  ...[[0xff], [0xff, 0xff], [0x61, 0xff], [0x61, 0xff, 0x00]].map((list) => new Uint8Array(list)),
];
const EMPTY = new Uint8Array(0);
const ZERO = new Uint8Array([0]);

function key(rng: Prng): Uint8Array {
  if (rng.chance(0.02)) return EMPTY;
  // Mostly few keys, so that requests meet; sometimes others, so that transactions have room.
  return rng.chance(0.8) ? rng.pick(KEYS) : encoder.encode(`k${rng.below(40)}`);
}

function value(rng: Prng): Uint8Array {
  return rng.chance(0.1) ? EMPTY : encoder.encode(rng.pick(["x", "y", "z", `v${rng.below(1000)}`]));
}

function end(rng: Prng, from: Uint8Array): Uint8Array {
  const roll = rng.below(10);
  if (roll < 4) return EMPTY;
  if (roll < 6) return ZERO;
  if (roll < 8) return prefixEnd(from);
  return key(rng);
}

function prefixEnd(prefix: Uint8Array): Uint8Array {
  for (let i = prefix.length - 1; i >= 0; i--) {
    if (prefix[i] === 0xff) continue;
    const out = prefix.slice(0, i + 1);
    out[i] = (out[i] as number) + 1;
    return out;
  }
  return ZERO;
}

/** A revision in the past or the future, or one that is compacted or no revision at all. */
export function revisionNear(rng: Prng, revision: number, compacted: number): bigint {
  const choices = [0, -1, 1, compacted - 1, compacted, compacted + 1, revision, revision + 1, revision + 1000, -5];
  if (rng.chance(0.05)) return rng.pick([2n ** 62n, -(2n ** 62n)]);
  return BigInt(rng.chance(0.5) ? rng.pick(choices) : rng.between(compacted, revision));
}

export function leaseId(rng: Prng, { leases }: World): bigint {
  if (leases.size > 0 && rng.chance(0.8)) return rng.pick([...leases]);
  return rng.pick([0n, -1n, 3n, 2n ** 62n, 999n]);
}

export function put(rng: Prng, world: World): PutRequest {
  const ignoreValue = rng.chance(0.08);
  const ignoreLease = rng.chance(0.08);
  return create(PutRequestSchema, {
    key: key(rng),
    value: ignoreValue && rng.chance(0.8) ? EMPTY : value(rng),
    lease: (ignoreLease && rng.chance(0.8)) || rng.chance(0.7) ? 0n : leaseId(rng, world),
    prevKv: rng.chance(0.3),
    ignoreValue,
    ignoreLease,
  });
}

export function range(rng: Prng, world: World): RangeRequest {
  const { revision, compacted } = world;
  const from = key(rng);
  const bound = () => (rng.chance(0.1) ? revisionNear(rng, revision, compacted) : 0n);
  return create(RangeRequestSchema, {
    key: from,
    rangeEnd: end(rng, from),
    limit: rng.chance(0.4) ? rng.pick([1n, 2n, 3n, 5n, 1000n, -1n, -3n]) : 0n,
    revision: rng.chance(0.35) ? revisionNear(rng, revision, compacted) : 0n,
    sortOrder: (rng.chance(0.4) ? rng.below(3) : 0) as RangeRequest_SortOrder,
    sortTarget: (rng.chance(0.4) ? rng.below(5) : 0) as RangeRequest_SortTarget,
    serializable: rng.chance(0.2),
    keysOnly: rng.chance(0.12),
    countOnly: rng.chance(0.1),
    minModRevision: bound(),
    maxModRevision: bound(),
    minCreateRevision: bound(),
    maxCreateRevision: bound(),
  });
}

export function deleteRange(rng: Prng): MessageInitShape<typeof DeleteRangeRequestSchema> {
  const from = key(rng);
  // Everything at once only now and then, or there would be nothing left to look at.
  const rangeEnd = rng.chance(0.85) ? (rng.chance(0.7) ? EMPTY : prefixEnd(from)) : end(rng, from);
  return { key: from, rangeEnd, prevKv: rng.chance(0.4) };
}

export function compaction(rng: Prng, world: World): MessageInitShape<typeof CompactionRequestSchema> {
  // 0 is not asked, see NOT_ASKED.
  return { revision: revisionNear(rng, world.revision, world.compacted) || 1n, physical: rng.chance(0.3) };
}

/** @param depth how deep transactions may be nested below this one */
export function txn(rng: Prng, world: World, depth: number): TxnRequest {
  const many = rng.chance(0.015);
  const count = () => (many ? rng.between(126, 130) : rng.below(4));
  const ops = (n: number) => Array.from({ length: n }, (_, i) => (many ? distinctPut(i) : op(rng, world, depth)));
  return create(TxnRequestSchema, {
    compare: Array.from({ length: rng.below(3) }, () => compare(rng, world)),
    success: ops(count()),
    failure: ops(rng.below(3)),
  });
}

function distinctPut(i: number): RequestOp {
  const put = create(PutRequestSchema, { key: encoder.encode(`many${i}`) });
  return create(RequestOpSchema, { request: { case: "requestPut", value: put } });
}

function op(rng: Prng, world: World, depth: number): RequestOp {
  const roll = rng.below(100);
  if (roll < 2) return create(RequestOpSchema, {});
  if (roll < 45) return create(RequestOpSchema, { request: { case: "requestRange", value: range(rng, world) } });
  if (roll < 78 || (roll >= 88 && depth === 0)) {
    return create(RequestOpSchema, { request: { case: "requestPut", value: put(rng, world) } });
  }
  if (roll < 88) {
    return create(RequestOpSchema, { request: { case: "requestDeleteRange", value: deleteRange(rng) } });
  }
  return create(RequestOpSchema, { request: { case: "requestTxn", value: txn(rng, world, depth - 1) } });
}

function compare(rng: Prng, world: World): Compare {
  const from = key(rng);
  const target = rng.chance(0.03) ? rng.pick([5, -1]) : rng.below(5);
  return create(CompareSchema, {
    result: (rng.chance(0.03) ? rng.pick([4, -1]) : rng.below(4)) as Compare_CompareResult,
    target: target as Compare_CompareTarget,
    key: from,
    rangeEnd: rng.chance(0.2) ? end(rng, from) : EMPTY,
    targetUnion: rng.chance(0.03) ? operand(rng, world, rng.below(5)) : operand(rng, world, target),
  });
}

function operand(rng: Prng, world: World, target: number): Compare["targetUnion"] {
  const number = BigInt(rng.pick([0, 1, 2, 3, world.revision, world.revision - 3]));
  if (target === 0) return { case: "version", value: number };
  if (target === 1) return { case: "createRevision", value: number };
  if (target === 2) return { case: "modRevision", value: number };
  if (target === 3) return { case: "value", value: value(rng) };
  if (target === 4) return { case: "lease", value: leaseId(rng, world) };
  return { case: undefined };
}

/** @param future whether it begins now or later, or else at latest now */
export function watchCreate(
  rng: Prng,
  world: World,
  future: boolean,
): { case: "createRequest"; value: WatchCreateRequest } {
  const from = key(rng);
  const { revision, compacted } = world;
  const start = revisionNear(rng, revision, compacted);
  const fits = start >= 0n && start > BigInt(revision) === future;
  const message = create(WatchCreateRequestSchema, {
    key: from,
    rangeEnd: end(rng, from),
    startRevision: fits && rng.chance(0.7) ? start : 0n,
    filters: (rng.chance(0.3) ? rng.pick([[0], [1], [0, 1], [1, 1], [7]]) : []) as WatchCreateRequest_FilterType[],
    prevKv: rng.chance(0.4),
    watchId: rng.chance(0.5) ? BigInt(rng.pick([1, 2, 3, 4, 5, 9, 100, -1, -7])) : 0n,
    fragment: rng.chance(0.2),
  });
  return { case: "createRequest", value: message };
}

export function watchCancel(watchId: bigint): {
  case: "cancelRequest";
  value: ReturnType<typeof cancelMessage>;
} {
  return { case: "cancelRequest", value: cancelMessage(watchId) };
}

const cancelMessage = (watchId: bigint) => create(WatchCancelRequestSchema, { watchId });
