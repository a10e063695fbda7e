import { assert } from "@keelson/types";
import { toBytes, toRange } from "./keys.ts";
import type {
  Bytes,
  CallLimits,
  Compare,
  CompareOperator,
  DeleteOptions,
  KeyRange,
  Op,
  PutOptions,
  RangeOptions,
  Txn,
  TxnResult,
  TxnSpec,
} from "./types.ts";

type Target = Bytes | KeyRange;

const byNumber =
  (target: "version" | "create" | "mod" | "lease") =>
  (range: Target, operator: CompareOperator, operand: number | bigint): Compare => ({
    target,
    range: toRange(range),
    operator,
    operand,
  });

/** Conditions. A range must hold for each of its keys. A key that does not exist has version and revisions 0. */
export const compare = {
  /** Changes since the key was created; 0 when it does not exist. */
  version: byNumber("version"),
  createRevision: byNumber("create"),
  modRevision: byNumber("mod"),
  lease: byNumber("lease"),
  /** Never true of a key that does not exist. */
  value: (range: Target, operator: CompareOperator, operand: Bytes): Compare => ({
    target: "value",
    range: toRange(range),
    operator,
    operand: toBytes(operand),
  }),
  exists: (key: Bytes): Compare => ({ target: "create", range: { key }, operator: ">", operand: 0 }),
  missing: (key: Bytes): Compare => ({ target: "create", range: { key }, operator: "=", operand: 0 }),
};

/** Operations of a transaction. All writes get one revision; reads see the writes before them. */
export const op = {
  get: (range: Target, options: RangeOptions = {}): Op => ({ type: "get", range: toRange(range), options }),
  put: (key: Bytes, value: Bytes, options: PutOptions = {}): Op => ({ type: "put", key, value, options }),
  delete: (range: Target, options: DeleteOptions = {}): Op => ({ type: "delete", range: toRange(range), options }),
  txn: (spec: TxnSpec): Op => ({ type: "txn", spec }),
};

/** An immutable builder: each step gives a new one. */
export class TxnBuilder implements Txn {
  readonly #commit: (spec: TxnSpec, limits: CallLimits) => Promise<TxnResult>;
  readonly #spec: TxnSpec;

  constructor(
    commit: (spec: TxnSpec, limits: CallLimits) => Promise<TxnResult>,
    spec: TxnSpec = { compares: [], success: [], failure: [] },
  ) {
    this.#commit = commit;
    this.#spec = spec;
  }

  if(...compares: readonly Compare[]): Txn {
    return this.#with({ compares: [...this.#spec.compares, ...compares] });
  }

  then(...ops: readonly Op[]): Txn {
    // `await` and `return` in an async function take anything with a `then` for a promise and pass callbacks.
    assert(typeof ops[0] !== "function", "a transaction is not a promise: end it with commit()");
    return this.#with({ success: [...this.#spec.success, ...ops] });
  }

  else(...ops: readonly Op[]): Txn {
    return this.#with({ failure: [...this.#spec.failure, ...ops] });
  }

  commit(limits: CallLimits = {}): Promise<TxnResult> {
    return this.#commit(this.#spec, limits);
  }

  #with(part: Partial<TxnSpec>): Txn {
    return new TxnBuilder(this.#commit, { ...this.#spec, ...part });
  }
}
