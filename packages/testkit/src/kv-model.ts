import type { Operation } from "./history.ts";
import { KvFacts } from "./kv-facts.ts";
import { applyKv, canKvStillAnswer, EMPTY_KV, type KvState, kvStateKey } from "./kv-state.ts";
import type { Model } from "./linearizability.ts";

/** A key with its revisions, as an etcd answer shows it. */
export interface KvPair {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

/** A condition of a transaction. A key that is not there has revisions and version 0; its value equals nothing. */
export type KvCompare = {
  readonly key: string;
  readonly result: "=" | "!=" | ">" | "<";
} & (
  | { readonly target: "create" | "mod" | "version"; readonly than: number }
  | { readonly target: "value"; readonly than: string }
);

/** An operation that a transaction may hold. Ranges are `[key, end)`; without `end` one key. */
export type KvBasicInput =
  | { readonly type: "put"; readonly key: string; readonly value: string }
  | { readonly type: "range"; readonly key: string; readonly end?: string }
  | { readonly type: "delete"; readonly key: string; readonly end?: string };

/** An operation of an etcd KV client. Reads are linearizable ones. */
export type KvInput =
  | KvBasicInput
  | {
      readonly type: "txn";
      readonly compare: readonly KvCompare[];
      readonly success: readonly KvBasicInput[];
      readonly failure: readonly KvBasicInput[];
    };

/** What a basic operation answers. What is left out is not checked. */
export interface KvBasicOutput {
  /** Of a range: the pairs in key order. */
  readonly kvs?: readonly KvPair[];
  /** Of a delete: how many keys. */
  readonly deleted?: number;
}

/** An answer. What is left out is not checked. */
export interface KvOutput extends KvBasicOutput {
  /** The revision of the response header. */
  readonly revision?: number;
  readonly succeeded?: boolean;
  readonly responses?: readonly KvBasicOutput[];
}

type KvSpecification = Model<KvState, KvInput, KvOutput>;

/**
 * etcd's KV as one object: revisions order the writes of all keys, so it is not partitioned. A history whose puts have distinct values is
 * checked fastest: then a read tells when a put of unknown outcome took effect.
 */
export const kvModel: KvSpecification = {
  init: () => EMPTY_KV,
  step: applyKv,
  stateKey: kvStateKey,
  canStillAnswer: canKvStillAnswer,
  prepare,
  describe: (input, output) =>
    `${JSON.stringify(input)} -> ${output === undefined ? "unknown" : JSON.stringify(output)}`,
  describeState: (state) => `revision ${state.revision}, ${JSON.stringify([...state.keys.values()])}`,
};

/** Leaves out reads of unknown outcome, which changed nothing, and brings what the answers tell about the writes. */
function prepare(recorded: readonly Operation<KvInput, KvOutput>[]) {
  const operations = recorded.filter((op) => op.output !== undefined || !isReadOnly(op.input));
  const inferred = inferRevisions(operations, new KvFacts(operations));
  // Once more: what was inferred tells more about the rest.
  const facts = new KvFacts(inferred);
  const model: KvSpecification = { ...kvModel, step: (state, input, output) => applyKv(state, input, output, facts) };
  return { operations: inferred, model };
}

/** Gives an operation of unknown outcome its revision when some answer shows a pair that only it can have written. */
function inferRevisions(operations: readonly Operation<KvInput, KvOutput>[], facts: KvFacts) {
  const writers = new Map<string, number>();
  for (const put of operations.flatMap((op) => putsOf(op.input))) {
    writers.set(putId(put), (writers.get(putId(put)) ?? 0) + 1);
  }
  return operations.map((op) => {
    if (op.output !== undefined) return op;
    const own = putsOf(op.input).filter((put) => writers.get(putId(put)) === 1);
    const revision = own.map((put) => facts.revisionOf(put.key, put.value)).find((r) => r !== undefined);
    return revision === undefined ? op : { ...op, output: { revision } };
  });
}

function basicsOf(input: KvInput): readonly KvBasicInput[] {
  return input.type === "txn" ? [...input.success, ...input.failure] : [input];
}

function isReadOnly(input: KvInput): boolean {
  return basicsOf(input).every((basic) => basic.type === "range");
}

function putsOf(input: KvInput) {
  return basicsOf(input).flatMap((basic) => (basic.type === "put" ? [basic] : []));
}

function putId({ key, value }: { readonly key: string; readonly value: string }): string {
  return JSON.stringify([key, value]);
}
