import fc from "fast-check";
import { expect } from "vitest";
import type { Compare, KeyValue, PutOptions, RangeOptions, Txn, TxnOp, TxnOpResult } from "../src/index.ts";
import { bytesToKey, compareBytes, MemoryBackend, MvccRestore, MvccStore } from "../src/index.ts";

/*
 * The store against the most naive thing that could be right: a full copy of all keys per revision. Random puts,
 * deletes, nested txns, compactions, scrub steps and restores; after each, ranges with random options are compared.
 */

const bytes = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0));
const NAMES = ["a", "aa", "ab", "b", "ba", "c", "\xff", "\xff\xff", "a\0"];
const PREFIX = 3;

type Snapshot = ReadonlyMap<string, KeyValue>;

class NaiveModel {
  readonly versions = new Map<number, Snapshot>([[1, new Map()]]);
  revision = 1;
  compactRevision = 0;

  at(rev: number): Snapshot {
    return this.versions.get(rev) as Snapshot;
  }

  select(snapshot: Snapshot, key: Uint8Array, end: Uint8Array | undefined): KeyValue[] {
    const from = bytesToKey(key);
    const to = end === undefined ? "" : bytesToKey(end);
    return [...snapshot.entries()]
      .filter(([k]) => (to === "" ? k === from : k >= from && (to === "\0" || k < to)))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, kv]) => kv);
  }

  range(o: RangeOptions, snapshot: Snapshot): { kvs: KeyValue[]; count: number; more: boolean } {
    const all = this.select(snapshot, o.key, o.end);
    let kvs = all.filter(
      (kv) =>
        (!o.minModRevision || kv.modRevision >= o.minModRevision) &&
        (!o.maxModRevision || kv.modRevision <= o.maxModRevision) &&
        (!o.minCreateRevision || kv.createRevision >= o.minCreateRevision) &&
        (!o.maxCreateRevision || kv.createRevision <= o.maxCreateRevision),
    );
    const by = {
      key: (a: KeyValue, b: KeyValue) => compareBytes(a.key, b.key),
      version: (a: KeyValue, b: KeyValue) => a.version - b.version,
      create: (a: KeyValue, b: KeyValue) => a.createRevision - b.createRevision,
      mod: (a: KeyValue, b: KeyValue) => a.modRevision - b.modRevision,
      value: (a: KeyValue, b: KeyValue) => compareBytes(a.value, b.value),
    }[o.sortTarget ?? "key"];
    kvs.sort((a, b) => (o.sortOrder === "descend" ? by(b, a) : by(a, b)));
    const more = !o.countOnly && Boolean(o.limit) && kvs.length > (o.limit as number);
    if (o.limit) kvs = kvs.slice(0, o.limit);
    if (o.keysOnly) {
      kvs = kvs.map((kv) => ({ ...kv, value: bytes(""), lease: o.sortTarget === "value" ? kv.lease : 0n }));
    }
    return { kvs: o.countOnly ? [] : kvs, count: all.length, more };
  }
}

/** A write in the model: a working copy that becomes the next revision if something changed. */
class NaiveWrite {
  readonly model: NaiveModel;
  readonly work: Map<string, KeyValue>;
  changed = 0;

  constructor(model: NaiveModel) {
    this.model = model;
    this.work = new Map(model.at(model.revision));
  }

  get revision(): number {
    return this.model.revision + (this.changed > 0 ? 1 : 0);
  }

  put(o: PutOptions): KeyValue | undefined {
    const name = bytesToKey(o.key);
    const old = this.work.get(name);
    const modRevision = this.model.revision + 1;
    this.work.set(name, {
      key: o.key,
      createRevision: old?.createRevision ?? modRevision,
      modRevision,
      version: (old?.version ?? 0) + 1,
      value: o.ignoreValue ? (old as KeyValue).value : o.value,
      lease: o.ignoreLease ? (old as KeyValue).lease : (o.lease ?? 0n),
    });
    this.changed++;
    return o.prevKv ? old : undefined;
  }

  deleteRange(o: { key: Uint8Array; end?: Uint8Array | undefined; prevKv?: boolean }) {
    const gone = this.model.select(this.work, o.key, o.end);
    for (const kv of gone) this.work.delete(bytesToKey(kv.key));
    this.changed += gone.length;
    return { deleted: gone.length, prevKvs: o.prevKv ? gone : [] };
  }

  commit(): void {
    if (this.changed === 0) return;
    this.model.revision++;
    this.model.versions.set(this.model.revision, this.work);
  }
}

const key = fc.constantFrom(...NAMES).map(bytes);
const end = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  { weight: 4, arbitrary: fc.constantFrom(...NAMES, "\0", "d", "").map(bytes) },
);
const rev = fc.nat(40);
const rangeOptions: fc.Arbitrary<RangeOptions> = fc.record(
  {
    key: fc.oneof(key, fc.constant(bytes("\0"))),
    end,
    limit: fc.nat(4),
    sortOrder: fc.constantFrom("none", "ascend", "descend"),
    sortTarget: fc.constantFrom("key", "version", "create", "mod", "value"),
    keysOnly: fc.boolean(),
    countOnly: fc.boolean(),
    minModRevision: rev,
    maxModRevision: rev,
    minCreateRevision: rev,
    maxCreateRevision: rev,
  },
  { requiredKeys: ["key"] },
);
const pastRange = fc.tuple(rangeOptions, fc.nat(20)).map(([o, revision]): RangeOptions => ({ ...o, revision }));
const lease = fc.constantFrom(0n, 0n, 5n, 0x7fff_ffff_ffff_fffen);
const put: fc.Arbitrary<PutOptions> = fc.record(
  { key, value: fc.constantFrom("", "x", "y", "zz").map(bytes), lease, prevKv: fc.boolean() },
  { requiredKeys: ["key", "value"] },
);
const ignoring: fc.Arbitrary<PutOptions> = fc.record(
  { key, value: fc.constant(bytes("")), prevKv: fc.boolean(), ignoreValue: fc.boolean(), ignoreLease: fc.boolean() },
  { requiredKeys: ["key", "value"] },
);
const deleteRange = fc.record({ key, end, prevKv: fc.boolean() });
const compare: fc.Arbitrary<Compare> = fc
  .record({ key, end, result: fc.constantFrom("equal", "greater", "less", "notEqual") })
  .chain((base) =>
    fc
      .oneof(
        fc.record({ target: fc.constantFrom("version", "create", "mod"), operand: fc.nat(6) }),
        fc.record({ target: fc.constant("lease" as const), operand: lease }),
        fc.record({ target: fc.constant("value" as const), operand: fc.constantFrom("", "x", "y").map(bytes) }),
      )
      .map((t) => ({ ...base, ...t }) as Compare),
  );
const { txn } = fc.letrec<{ txn: Txn; op: TxnOp }>((tie) => ({
  op: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.record({ type: fc.constant("put" as const), put }),
    fc.record({ type: fc.constant("put" as const), put: ignoring }),
    fc.record({ type: fc.constant("range" as const), range: rangeOptions }),
    fc.record({ type: fc.constant("range" as const), range: pastRange }),
    fc.record({ type: fc.constant("deleteRange" as const), deleteRange }),
    fc.record({ type: fc.constant("txn" as const), txn: tie("txn") }),
  ),
  txn: fc.record({
    compare: fc.array(compare, { maxLength: 2 }),
    success: fc.array(tie("op"), { maxLength: 3 }),
    failure: fc.array(tie("op"), { maxLength: 3 }),
  }),
}));
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("put" as const), put: fc.oneof(put, ignoring) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("delete" as const), deleteRange }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("txn" as const), txn }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("deleteKeys" as const), keys: fc.array(key) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("compact" as const), back: fc.nat(6) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("scrub" as const), budget: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restore" as const), chunk: fc.integer({ min: 1, max: 9 }) }) },
);

function holds(model: NaiveModel, c: Compare): boolean {
  const kvs = model.select(model.at(model.revision), c.key, c.end);
  const none = { createRevision: 0, modRevision: 0, version: 0, lease: 0n, value: undefined };
  return (kvs.length === 0 ? [none] : kvs).every((kv) => {
    if (c.target === "value" && kv.value === undefined) return false;
    const d =
      c.target === "value"
        ? compareBytes(kv.value as Uint8Array, c.operand)
        : c.target === "lease"
          ? Number(kv.lease > c.operand) - Number(kv.lease < c.operand)
          : { version: kv.version, create: kv.createRevision, mod: kv.modRevision }[c.target] - c.operand;
    return { equal: d === 0, notEqual: d !== 0, greater: d > 0, less: d < 0, any: true, never: false }[c.result];
  });
}

type Chosen = { succeeded: boolean; ops: (Exclude<TxnOp, { type: "txn" }> | { type: "txn"; chosen: Chosen })[] };

function choose(model: NaiveModel, t: Txn): Chosen {
  const succeeded = t.compare.every((c) => holds(model, c));
  const ops = (succeeded ? t.success : t.failure).map((op) =>
    op.type === "txn" ? { type: "txn" as const, chosen: choose(model, op.txn) } : op,
  );
  return { succeeded, ops };
}

function flatten(chosen: Chosen): Exclude<TxnOp, { type: "txn" }>[] {
  return chosen.ops.flatMap((op) => (op.type === "txn" ? flatten(op.chosen) : [op]));
}

function refusal(model: NaiveModel, chosen: Chosen): string | undefined {
  const ops = flatten(chosen);
  const snapshot = model.at(model.revision);
  const puts = ops.flatMap((op) => (op.type === "put" ? [op.put] : []));
  const deletes = ops.flatMap((op) => (op.type === "deleteRange" ? [op.deleteRange] : []));
  for (const op of ops) {
    if (op.type === "put" && (op.put.ignoreLease || op.put.ignoreValue) && !snapshot.has(bytesToKey(op.put.key)))
      return "ERR_KEY_NOT_FOUND";
    const revision = op.type === "range" ? (op.range.revision ?? 0) : 0;
    if (revision > model.revision) return "ERR_FUTURE_REVISION";
    if (revision > 0 && revision < model.compactRevision) return "ERR_COMPACTED";
  }
  const names = puts.map((p) => bytesToKey(p.key));
  const all: Snapshot = new Map(puts.map((p) => [bytesToKey(p.key), { ...none(), key: p.key }]));
  const both = deletes.some((d) => model.select(all, d.key, d.end).length > 0);
  return new Set(names).size < names.length || both ? "ERR_DUPLICATE_KEY" : undefined;
}

const none = () => ({ createRevision: 0, modRevision: 0, version: 0, value: bytes(""), lease: 0n });

function run(write: NaiveWrite, chosen: Chosen): TxnOpResult[] {
  return chosen.ops.map((op): TxnOpResult => {
    if (op.type === "put") return { type: "put", prevKv: write.put(op.put), revision: write.revision };
    if (op.type === "range") {
      const revision = write.revision;
      const seen = op.range.revision ? write.model.at(op.range.revision) : write.work;
      return { type: "range", result: { ...write.model.range(op.range, seen), revision } };
    }
    if (op.type === "deleteRange") {
      const result = write.deleteRange(op.deleteRange);
      return { type: "deleteRange", ...result, revision: write.revision };
    }
    const results = run(write, op.chosen);
    return { type: "txn", succeeded: op.chosen.succeeded, results, revision: write.revision };
  });
}

class Pair {
  readonly backend = new MemoryBackend();
  store = new MvccStore({ backend: this.backend, prefix: PREFIX });
  readonly model = new NaiveModel();

  apply(s: Step): void {
    const write = new NaiveWrite(this.model);
    const { model, store } = this;
    switch (s.kind) {
      case "put": {
        const missing = (s.put.ignoreLease || s.put.ignoreValue) && !write.work.has(bytesToKey(s.put.key));
        if (missing) expect(() => store.put(s.put)).toThrow("key not found");
        else expect(store.put(s.put).prevKv).toEqual(write.put(s.put));
        break;
      }
      case "delete":
        expect(store.deleteRange(s.deleteRange)).toMatchObject(write.deleteRange(s.deleteRange));
        break;
      case "deleteKeys": {
        let deleted = 0;
        for (const k of s.keys) deleted += write.deleteRange({ key: k }).deleted;
        expect(store.deleteKeys(s.keys).deleted).toBe(deleted);
        break;
      }
      case "txn": {
        const chosen = choose(model, s.txn);
        const code = refusal(model, chosen);
        if (code !== undefined) expect(() => store.txn(s.txn)).toThrow(expect.objectContaining({ code }));
        else {
          const { results, succeeded } = store.txn(s.txn);
          expect({ results, succeeded }).toEqual({ results: run(write, chosen), succeeded: chosen.succeeded });
        }
        break;
      }
      case "compact": {
        const target = model.revision - s.back;
        if (target <= model.compactRevision) expect(() => store.compact(target)).toThrow("has been compacted");
        else {
          store.compact(target);
          model.compactRevision = target;
        }
        break;
      }
      case "scrub":
        store.scrub(s.budget);
        break;
      case "restore":
        this.restore(s.chunk);
        break;
    }
    write.commit();
  }

  restore(chunk: number): void {
    const restore = new MvccRestore({ backend: this.backend, prefix: PREFIX });
    const entries = this.backend.entries();
    for (let i = 0; i < entries.length; i += chunk) restore.feed(entries.slice(i, i + chunk));
    const { store, leases } = restore.finish();
    const latest = [...this.model.at(this.model.revision).entries()].filter(([, kv]) => kv.lease !== 0n);
    expect(new Map(leases.map((l) => [bytesToKey(l.key), l.lease]))).toEqual(
      new Map(latest.map(([k, kv]) => [k, kv.lease])),
    );
    expect(store.stateHash()).toEqual(this.store.stateHash());
    expect(store.hashKv()).toEqual(this.store.hashKv());
    this.store = store;
  }

  /** Every readable revision, with the given options. */
  check(options: RangeOptions): void {
    const { store, model } = this;
    expect(store.revision).toBe(model.revision);
    for (let r = 1; r <= model.revision; r++) {
      if (r < model.compactRevision) {
        expect(() => store.range({ ...options, revision: r })).toThrow("has been compacted");
        continue;
      }
      const want = { ...model.range(options, model.at(r)), revision: model.revision };
      expect(store.range({ ...options, revision: r })).toEqual(want);
    }
    expect(() => store.range({ ...options, revision: model.revision + 1 })).toThrow("future revision");
    expect(store.range(options)).toEqual({
      ...model.range(options, model.at(model.revision)),
      revision: model.revision,
    });
  }

  /** The history rebuilds every revision from the one before. */
  checkHistory(): void {
    const { store, model } = this;
    const from = Math.max(model.compactRevision, 2);
    const history = store.eventsSince(from, { prevKv: true });
    expect(history.map((h) => h.revision)).toEqual(
      Array.from({ length: model.revision - from + 1 }, (_, i) => from + i),
    );
    for (const { revision, events } of history) {
      const before = model.at(revision - 1);
      const after = new Map(before);
      for (const e of events) {
        const name = bytesToKey(e.kv.key);
        if (revision > Math.max(model.compactRevision, 1)) expect(e.prevKv).toEqual(before.get(name));
        if (e.type === "delete") expect(after.delete(name)).toBe(true);
        else after.set(name, e.kv);
      }
      expect(after).toEqual(model.at(revision));
    }
  }
}

/** A random history, and options for ranges over it. */
export const history = fc.array(step, { maxLength: 40, size: "max" });
export const ranges = fc.array(rangeOptions, { minLength: 2, maxLength: 4 });
export type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** The store equals the model at every revision, through txns, compactions, scrubs and restores. */
export function storeEqualsModel(steps: readonly Step[], options: readonly RangeOptions[]): void {
  const pair = new Pair();
  for (const [i, s] of steps.entries()) {
    pair.apply(s);
    if (i % 10 === 0) for (const r of options) pair.check(r);
  }
  for (const r of options) pair.check(r);
  pair.checkHistory();
  pair.restore(7);
  for (const r of options) pair.check(r);
  pair.checkHistory();
}

/** Members that scrub at different paces have one hash. */
export function hashIgnoresScrub(steps: readonly Step[], upTo: number): void {
  const [a, b] = [new Pair(), new Pair()];
  for (const s of steps) {
    a.apply(s);
    if (s.kind !== "scrub") b.apply(s);
  }
  a.store.scrub(1000);
  expect(a.store.scrubbing).toBe(false);
  const rev = Math.max(a.model.compactRevision, Math.min(upTo, a.model.revision));
  expect(a.store.hashKv(rev)).toEqual(b.store.hashKv(rev));
  expect(a.store.stateHash()).toEqual(b.store.stateHash());
  expect(a.backend.size).toBeLessThanOrEqual(b.backend.size);
  const task = a.store.startHashKv(rev);
  let inSteps = task.step(1);
  while (inSteps === undefined) inSteps = task.step(2);
  expect(inSteps).toEqual(a.store.hashKv(rev));
}

/** A finished compaction leaves exactly the records that something can still read. */
export function keepsOnlyReadable(steps: readonly Step[]): void {
  const pair = new Pair();
  for (const s of steps) pair.apply(s);
  while (pair.store.scrubbing) pair.store.scrub(3);
  const c = pair.model.compactRevision;
  const survivors = [...pair.model.at(Math.max(c, 1)).values()].filter((kv) => kv.modRevision < c).length;
  const later = pair.store.eventsSince(Math.max(c, 2)).reduce((n, h) => n + h.events.length, 0);
  const meta = pair.backend.entries().filter(([k]) => k[1] === 0).length;
  expect(pair.backend.size - meta).toBe(survivors + later);
}
