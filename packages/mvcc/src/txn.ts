import { type Revision, unreachable } from "@keelson/types";
import { bytesToKey, compareBytes } from "./bytes.ts";
import { CompactedError, DuplicateKeyError, KeyNotFoundError, LeaseNotFoundError } from "./errors.ts";
import type { Leaf } from "./index-node.ts";
import { type KeyRange, keyRange, rangeContains } from "./key-range.ts";
import { getAt, readRevision } from "./range.ts";
import type { StoreState } from "./state.ts";
import type { Compare, KeyValue, PutOptions, Txn, TxnOp, TxnOpResult, WriteChecks } from "./types.ts";
import type { WriteTx } from "./write-tx.ts";

/** A txn whose branches are chosen, nested ones included. */
export interface PlannedTxn {
  readonly succeeded: boolean;
  readonly ops: readonly PlannedOp[];
}

type PlannedOp = Exclude<TxnOp, { type: "txn" }> | { readonly type: "txn"; readonly planned: PlannedTxn };

/**
 * Evaluates every compare on the state before the txn, nested ones too (etcd's compareToPath), and checks every
 * operation that will run. Nothing has been changed when this throws.
 *
 * @throws KeyNotFoundError, LeaseNotFoundError, DuplicateKeyError, FutureRevisionError, CompactedError
 */
export function planTxn(state: StoreState, txn: Txn, checks: WriteChecks): PlannedTxn {
  const planned = choose(state, txn);
  checkOps(state, planned, checks);
  checkDuplicates(planned);
  return planned;
}

function choose(state: StoreState, txn: Txn): PlannedTxn {
  const succeeded = txn.compare.every((c) => holds(state, c));
  const ops = (succeeded ? txn.success : txn.failure).map(
    (op): PlannedOp => (op.type === "txn" ? { type: "txn", planned: choose(state, op.txn) } : op),
  );
  return { succeeded, ops };
}

/** Runs a planned txn. Failures from here on are failures of the store. */
export function runTxn(tx: WriteTx, planned: PlannedTxn): TxnOpResult[] {
  return planned.ops.map((op): TxnOpResult => {
    switch (op.type) {
      case "range":
        return { type: "range", result: tx.range(op.range) };
      case "put": {
        const prevKv = tx.put(op.put);
        return { type: "put", revision: tx.revision, prevKv };
      }
      case "deleteRange": {
        const { deleted, prevKvs } = tx.deleteRange(op.deleteRange);
        return { type: "deleteRange", revision: tx.revision, deleted, prevKvs };
      }
      case "txn": {
        const results = runTxn(tx, op.planned);
        return { type: "txn", revision: tx.revision, succeeded: op.planned.succeeded, results };
      }
      default:
        return unreachable(op, "txn op");
    }
  });
}

/** Checks one put, the lease first as etcd. @throws KeyNotFoundError, LeaseNotFoundError */
export function checkPut(state: StoreState, put: PutOptions, checks: WriteChecks): void {
  const { lease, ignoreLease, ignoreValue } = put;
  if (!ignoreLease && lease !== undefined && lease !== 0n && checks.leaseExists?.(lease) === false)
    throw new LeaseNotFoundError(lease);
  if (ignoreLease || ignoreValue) {
    const { index } = state;
    if (!index.seek(bytesToKey(put.key)) || index.leaf.version(index.at) === 0) throw new KeyNotFoundError(put.key);
  }
}

function checkOps(state: StoreState, planned: PlannedTxn, checks: WriteChecks): void {
  for (const op of planned.ops) {
    if (op.type === "put") checkPut(state, op.put, checks);
    else if (op.type === "range") checkRangeOp(state, op.range.revision ?? 0);
    else if (op.type === "txn") checkOps(state, op.planned, checks);
  }
}

/** Unlike a range of its own, one in a txn may not ask for a negative revision (etcd: txn.checkRange). */
function checkRangeOp(state: StoreState, revision: Revision): void {
  const { compactRevision } = state.compaction;
  // etcd's lowest revision is -1 until something is compacted.
  if (revision < 0 && revision < (compactRevision || -1)) throw new CompactedError(revision, compactRevision);
  readRevision(state, revision, state.revision);
}

/** On the path that runs, a key may be put once, and not be both put and deleted. */
function checkDuplicates(planned: PlannedTxn): void {
  const puts = new Map<string, Uint8Array>();
  const deletes: KeyRange[] = [];
  collect(planned, puts, deletes);
  for (const [name, key] of puts)
    if (deletes.some((range) => rangeContains(range, name))) throw new DuplicateKeyError(key);
}

function collect(planned: PlannedTxn, puts: Map<string, Uint8Array>, deletes: KeyRange[]): void {
  for (const op of planned.ops) {
    if (op.type === "txn") collect(op.planned, puts, deletes);
    else if (op.type === "deleteRange") deletes.push(keyRange(op.deleteRange.key, op.deleteRange.end));
    else if (op.type === "put") {
      const name = bytesToKey(op.put.key);
      if (puts.has(name)) throw new DuplicateKeyError(op.put.key);
      puts.set(name, op.put.key);
    }
  }
}

/** Whether a compare holds at the latest revision, for every key of its range. */
function holds(state: StoreState, compare: Compare): boolean {
  const range = keyRange(compare.key, compare.end);
  let any = false;
  let all = true;
  const { revision, index } = state;
  index.walk(range, revision, (leaf, at) => {
    any = true;
    all = decide(compare, differenceAt(state, compare, leaf, at));
    return all;
  });
  if (any) return all;
  // No key: a value cannot be compared, everything else counts as zero.
  if (compare.target === "value") return false;
  const zero = compare.target === "lease" ? sign(0n, compare.operand) : sign(0, compare.operand);
  return decide(compare, zero);
}

function differenceAt(state: StoreState, compare: Compare, leaf: Leaf, at: number): number {
  switch (compare.target) {
    case "version":
      return leaf.version(at) - compare.operand;
    case "create":
      return leaf.create(at) - compare.operand;
    case "mod":
      return leaf.mod(at) - compare.operand;
    case "lease":
      return sign(leaf.leased(at) ? loadAt(state, leaf, at).lease : 0n, compare.operand);
    case "value":
      return compareBytes(loadAt(state, leaf, at).value, compare.operand);
    default:
      return unreachable(compare, "compare target");
  }
}

function loadAt(state: StoreState, leaf: Leaf, at: number): KeyValue {
  return state.load(leaf.mod(at), leaf.sub(at));
}

function sign<T extends number | bigint>(a: T, b: T): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

function decide(compare: Compare, difference: number): boolean {
  switch (compare.result) {
    case "equal":
      return difference === 0;
    case "notEqual":
      return difference !== 0;
    case "greater":
      return difference > 0;
    case "less":
      return difference < 0;
    case "any":
      return true;
    case "never":
      return false;
    default:
      return unreachable(compare.result, "compare result");
  }
}

/**
 * The check that etcd makes of a request before it is proposed, over all branches: a key put twice, or put and deleted,
 * where both could run (then and else of one nested txn exclude each other). Returns the key, or undefined.
 *
 * Stricter than upstream in one point: a put in one nested txn and a delete in a later sibling are found, too.
 */
export function findDuplicateKey(ops: readonly TxnOp[]): Uint8Array | undefined {
  const found = gather(ops);
  return found instanceof Uint8Array ? found : undefined;
}

interface Touched {
  readonly puts: Map<string, Uint8Array>;
  readonly deletes: KeyRange[];
}

function gather(ops: readonly TxnOp[]): Touched | Uint8Array {
  const all: Touched = { puts: new Map(), deletes: [] };
  for (const op of ops) {
    const touched = touchedBy(op);
    if (touched instanceof Uint8Array) return touched;
    for (const [name, key] of touched.puts) {
      if (all.puts.has(name) || all.deletes.some((range) => rangeContains(range, name))) return key;
    }
    for (const range of touched.deletes) for (const [name, key] of all.puts) if (rangeContains(range, name)) return key;
    for (const [name, key] of touched.puts) all.puts.set(name, key);
    all.deletes.push(...touched.deletes);
  }
  return all;
}

function touchedBy(op: TxnOp): Touched | Uint8Array {
  switch (op.type) {
    case "range":
      return { puts: new Map(), deletes: [] };
    case "put":
      return { puts: new Map([[bytesToKey(op.put.key), op.put.key]]), deletes: [] };
    case "deleteRange":
      return { puts: new Map(), deletes: [keyRange(op.deleteRange.key, op.deleteRange.end)] };
    case "txn": {
      const then = gather(op.txn.success);
      if (then instanceof Uint8Array) return then;
      const otherwise = gather(op.txn.failure);
      if (otherwise instanceof Uint8Array) return otherwise;
      return {
        puts: new Map([...then.puts, ...otherwise.puts]),
        deletes: [...then.deletes, ...otherwise.deletes],
      };
    }
    default:
      return unreachable(op, "txn op");
  }
}

/** For the history: the value a key had just before a change, if that can still be read. */
export function previousOf(state: StoreState, name: string, changedAt: number): KeyValue | undefined {
  const before = changedAt - 1;
  if (before < state.compaction.compactRevision) return undefined;
  return getAt(state, name, before);
}
