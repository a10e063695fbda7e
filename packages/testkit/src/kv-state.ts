import { isSamePair, type KvFacts } from "./kv-facts.ts";
import type { KvBasicInput, KvBasicOutput, KvCompare, KvInput, KvOutput, KvPair } from "./kv-model.ts";

/** The state of etcd's KV as clients can see it. */
export interface KvState {
  /** Of the last write; an empty etcd is at 1. */
  readonly revision: number;
  readonly keys: ReadonlyMap<string, KvPair>;
}

/** Before the first write. */
export const EMPTY_KV: KvState = { revision: 1, keys: new Map() };

/**
 * Applies an operation and compares its answer. Undefined: `output` is not the answer in `state`, or `facts` rule the write out.
 */
export function applyKv(
  state: KvState,
  input: KvInput,
  output: KvOutput | undefined,
  facts?: KvFacts,
): KvState | undefined {
  const draft = new Draft(state);
  let isRight = true;
  if (input.type === "txn") {
    const succeeded = input.compare.every((compare) => holds(state, compare));
    const responses = (succeeded ? input.success : input.failure).map((basic) => draft.apply(basic));
    isRight &&= (output?.succeeded ?? succeeded) === succeeded;
    isRight &&= output?.responses === undefined || areAllRight(responses, output.responses);
  } else {
    const response = draft.apply(input);
    isRight &&= output === undefined || isRightAnswer(response, output);
  }
  const after = draft.finish();
  isRight &&= (output?.revision ?? after.revision) === after.revision;
  if (isRight && facts !== undefined) {
    for (const key of draft.touched) {
      isRight &&= facts.allows(key, after.keys.get(key), after.revision, output !== undefined);
    }
  }
  return isRight ? after : undefined;
}

/** Revisions only grow: an answer that shows a revision below the state's can no longer be given. */
export function canKvStillAnswer(state: KvState, input: KvInput, output: KvOutput | undefined): boolean {
  if (output?.revision === undefined) return true;
  // A put always makes a revision of its own.
  return input.type === "put" ? state.revision < output.revision : state.revision <= output.revision;
}

const keyCache = new WeakMap<KvState, string>();

/** Equal for equal states only. */
export function kvStateKey(state: KvState): string {
  let key = keyCache.get(state);
  if (key === undefined) {
    const pairs = [...state.keys.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1));
    key = `${state.revision}${JSON.stringify(pairs.map((kv) => [kv.key, kv.value, kv.createRevision, kv.modRevision, kv.version]))}`;
    keyCache.set(state, key);
  }
  return key;
}

/** The changes of one request, which all get the same revision. */
class Draft {
  readonly #before: KvState;
  readonly touched = new Set<string>();
  #keys: Map<string, KvPair> | undefined;

  constructor(before: KvState) {
    this.#before = before;
  }

  apply(input: KvBasicInput): KvBasicOutput {
    const keys = this.#keys ?? this.#before.keys;
    switch (input.type) {
      case "range":
        return { kvs: select(keys, input) };
      case "put": {
        const old = keys.get(input.key);
        const revision = this.#before.revision + 1;
        this.#change(input.key).set(input.key, {
          key: input.key,
          value: input.value,
          createRevision: old?.createRevision ?? revision,
          modRevision: revision,
          version: (old?.version ?? 0) + 1,
        });
        return {};
      }
      case "delete": {
        const gone = select(keys, input);
        for (const kv of gone) this.#change(kv.key).delete(kv.key);
        return { deleted: gone.length };
      }
    }
  }

  finish(): KvState {
    if (this.#keys === undefined) return this.#before;
    return { revision: this.#before.revision + 1, keys: this.#keys };
  }

  #change(key: string): Map<string, KvPair> {
    this.touched.add(key);
    this.#keys ??= new Map(this.#before.keys);
    return this.#keys;
  }
}

function select(keys: ReadonlyMap<string, KvPair>, range: { readonly key: string; readonly end?: string }): KvPair[] {
  const { key, end } = range;
  if (end === undefined) {
    const kv = keys.get(key);
    return kv === undefined ? [] : [kv];
  }
  return [...keys.values()].filter((kv) => kv.key >= key && kv.key < end).toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

function holds(state: KvState, compare: KvCompare): boolean {
  const kv = state.keys.get(compare.key);
  if (compare.target === "value") return kv !== undefined && isOrdered(kv.value, compare.result, compare.than);
  const actual = {
    create: kv?.createRevision ?? 0,
    mod: kv?.modRevision ?? 0,
    version: kv?.version ?? 0,
  }[compare.target];
  return isOrdered(actual, compare.result, compare.than);
}

function isOrdered<T extends string | number>(a: T, result: KvCompare["result"], b: T): boolean {
  if (result === "=") return a === b;
  if (result === "!=") return a !== b;
  return result === ">" ? a > b : a < b;
}

function areAllRight(expected: readonly KvBasicOutput[], actual: readonly KvBasicOutput[]): boolean {
  return expected.length === actual.length && expected.every((e, i) => isRightAnswer(e, actual[i] as KvBasicOutput));
}

function isRightAnswer(expected: KvBasicOutput, actual: KvBasicOutput): boolean {
  if (actual.deleted !== undefined && actual.deleted !== expected.deleted) return false;
  if (actual.kvs === undefined) return true;
  const kvs = expected.kvs ?? [];
  return actual.kvs.length === kvs.length && actual.kvs.every((kv, i) => isSamePair(kv, kvs[i] as KvPair));
}
