import { type Revision, unreachable } from "@keelson/types";
import { compareBytes, EMPTY_BYTES, keyToBytes } from "./bytes.ts";
import { CompactedError, FutureRevisionError } from "./errors.ts";
import type { Leaf } from "./index-node.ts";
import { locate } from "./key-index.ts";
import { keyRange } from "./key-range.ts";
import type { StoreState } from "./state.ts";
import type { KeyValue, RangeOptions, RangeResult, SortTarget } from "./types.ts";

/** A key that matched, with its value loaded only if something asked for it. */
interface Candidate {
  readonly main: Revision;
  readonly sub: number;
  readonly create: Revision;
  readonly version: number;
  readonly key: string;
  kv: KeyValue | undefined;
}

/**
 * Answers a range at `current`, the revision that the reader may see (of the write in progress, inside one).
 * etcd's server/etcdserver/txn/range.go: filters do not touch `count`, order "none" with a target other than the key
 * sorts ascending, ties keep key order.
 *
 * @throws FutureRevisionError, CompactedError
 */
export function executeRange(state: StoreState, options: RangeOptions, current: Revision): RangeResult {
  const rev = readRevision(state, options.revision ?? 0, current);
  const range = keyRange(options.key, options.end);
  if (range.single) return rangeOne(state, range.start, rev, options, current);
  const count = state.index.count(range, rev);
  if (options.countOnly || count === 0) return { kvs: [], count, more: false, revision: current };
  const limit = options.limit !== undefined && options.limit > 0 ? options.limit : Number.POSITIVE_INFINITY;
  const target = options.sortTarget ?? "key";
  const order = options.sortOrder ?? "none";
  const filtered = hasFilters(options);
  const found: Candidate[] = [];
  const byKey = target === "key";
  // Only an answer in key order without filters can stop early. And one sorted by something else without saying in which
  // order: etcd takes the first keys up to the limit and one more, and sorts and cuts these (rangeLimit).
  const early = order === "none" ? limit + 1 : Number.POSITIVE_INFINITY;
  const take = filtered ? Number.POSITIVE_INFINITY : byKey ? limit : early;
  const visit = (leaf: Leaf, at: number) => {
    const candidate = candidateOf(state, leaf, at, rev);
    if (!filtered || passes(candidate, options)) found.push(candidate);
    return found.length < take;
  };
  if (byKey && order === "descend") state.index.walkBack(range, rev, visit);
  else state.index.walk(range, rev, visit);
  if (!byKey) sort(state, found, target, order === "descend" ? -1 : 1);
  const more = filtered || !byKey ? found.length > limit : count > limit;
  const cut = found.length > limit ? found.slice(0, limit) : found;
  return { kvs: cut.map((c) => result(state, c, options)), count, more, revision: current };
}

/** Resolves 0 to the latest and checks the bounds. */
export function readRevision(state: StoreState, asked: Revision, current: Revision): Revision {
  if (asked > current) throw new FutureRevisionError(asked, current);
  const rev = asked <= 0 ? current : asked;
  const { compactRevision } = state.compaction;
  if (rev < compactRevision) throw new CompactedError(rev, compactRevision);
  return rev;
}

/** The key's value at `rev`, or undefined. */
export function getAt(state: StoreState, key: string, rev: Revision): KeyValue | undefined {
  if (!state.index.seek(key)) return undefined;
  const place = locate(state.index.leaf, state.index.at, rev);
  return place === undefined ? undefined : state.load(place.main, place.sub);
}

/** The range of one key: one search, and nothing to sort or cut. */
function rangeOne(
  state: StoreState,
  key: string,
  rev: Revision,
  options: RangeOptions,
  current: Revision,
): RangeResult {
  const { index } = state;
  const exists = index.seek(key) && locate(index.leaf, index.at, rev) !== undefined;
  if (!exists) return { kvs: [], count: 0, more: false, revision: current };
  if (options.countOnly) return { kvs: [], count: 1, more: false, revision: current };
  const candidate = candidateOf(state, index.leaf, index.at, rev);
  if (options.sortTarget === "value") candidate.kv ??= state.load(candidate.main, candidate.sub);
  const kvs = passes(candidate, options) ? [result(state, candidate, options)] : [];
  return { kvs, count: 1, more: false, revision: current };
}

function candidateOf(state: StoreState, leaf: Leaf, at: number, rev: Revision): Candidate {
  const place = locate(leaf, at, rev);
  const key = leaf.keys[at] as string;
  const { main, sub, latest } = place as NonNullable<typeof place>;
  if (latest) return { main, sub, key, create: leaf.create(at), version: leaf.version(at), kv: undefined };
  // The index has create revision and version of the latest change only.
  const kv = state.load(main, sub);
  return { main, sub, key, create: kv.createRevision, version: kv.version, kv };
}

function hasFilters(o: RangeOptions): boolean {
  return Boolean(o.minModRevision || o.maxModRevision || o.minCreateRevision || o.maxCreateRevision);
}

function passes(c: Candidate, o: RangeOptions): boolean {
  if (o.maxModRevision && c.main > o.maxModRevision) return false;
  if (o.minModRevision && c.main < o.minModRevision) return false;
  if (o.maxCreateRevision && c.create > o.maxCreateRevision) return false;
  return !(o.minCreateRevision && c.create < o.minCreateRevision);
}

function sort(state: StoreState, found: Candidate[], target: SortTarget, sign: 1 | -1): void {
  // Array.sort is stable, so that equal keys of comparison keep key order in both directions.
  switch (target) {
    case "version":
      found.sort((a, b) => sign * (a.version - b.version));
      break;
    case "create":
      found.sort((a, b) => sign * (a.create - b.create));
      break;
    case "mod":
      found.sort((a, b) => sign * (a.main - b.main));
      break;
    case "value":
      for (const c of found) c.kv ??= state.load(c.main, c.sub);
      found.sort((a, b) => sign * compareBytes((a.kv as KeyValue).value, (b.kv as KeyValue).value));
      break;
    case "key":
      break;
    default:
      unreachable(target, "sort target");
  }
}

function result(state: StoreState, c: Candidate, options: RangeOptions): KeyValue {
  if (!options.keysOnly) return c.kv ?? state.load(c.main, c.sub);
  // etcd 3.7 answers keys-only from its index, which knows no leases, unless it had to sort by value.
  const lease = options.sortTarget === "value" && c.kv !== undefined ? c.kv.lease : 0n;
  return {
    key: keyToBytes(c.key),
    createRevision: c.create,
    modRevision: c.main,
    version: c.version,
    value: EMPTY_BYTES,
    lease,
  };
}
