import { CoreError } from "@keelson/types";
import type { History, Operation } from "./history.ts";
import { type SearchResult, search } from "./linearizability-search.ts";

/** A sequential specification. States are immutable values. */
export interface Model<State, In, Out> {
  /** The state before the first operation. */
  init(): State;
  /**
   * The state after `input`, or undefined when the answer cannot be `output` in `state`. An `output` of undefined is an unknown
   * outcome, which every state allows.
   */
  step(state: State, input: In, output: Out | undefined): State | undefined;
  /** Equal for equal states and only for them. */
  stateKey(state: State): string;
  /** Splits a history into parts that do not influence each other, such as single keys. */
  partition?(operations: readonly Operation<In, Out>[]): readonly (readonly Operation<In, Out>[])[];
  /**
   * False when no sequence of operations leads from `state` to one in which `input` is answered by `output`. Called with an operation
   * that must come next or soon; a good answer keeps operations of unknown outcome from being tried in vain.
   */
  canStillAnswer?(state: State, input: In, output: Out): boolean;
  /** Looks at a whole history first: may leave out operations that cannot matter, and return a sharper model of the same thing. */
  prepare?(operations: readonly Operation<In, Out>[]): {
    readonly operations: readonly Operation<In, Out>[];
    readonly model: Model<State, In, Out>;
  };
  /** For explanations. */
  describe(input: In, output: Out | undefined): string;
  describeState?(state: State): string;
}

/** The verdict on a history. `unknown`: the search was given up at its bound. */
export type LinearizabilityResult =
  | { readonly verdict: "ok" }
  | { readonly verdict: "violation"; readonly explanation: string }
  | { readonly verdict: "unknown"; readonly explanation: string };

/** Options of the checks. */
export interface CheckOptions {
  /** Steps of the model after which a search gives up. Default 5 million. */
  readonly stepsMax?: number;
}

/** A history is not linearizable, or too hard to tell. The message explains. */
export class LinearizabilityError extends CoreError<"ERR_NOT_LINEARIZABLE"> {
  readonly code = "ERR_NOT_LINEARIZABLE";
}

const STEPS_MAX = 5_000_000;
const PREFIX_SHOWN = 12;
const CANDIDATES_SHOWN = 12;

/**
 * Tells whether a history is linearizable: whether all operations can be put in one order that agrees with their answers and in
 * which each lies between its call and its return (Herlihy and Wing 1990). The search is that of Wing and Gong (1993) with
 * Lowe's memory of states seen (2017), partition by partition, as in Porcupine.
 */
export function checkLinearizability<State, In, Out>(
  history: Pick<History<In, Out>, "operations">,
  model: Model<State, In, Out>,
  options: CheckOptions = {},
): LinearizabilityResult {
  const recorded = history.operations();
  const { operations: all, model: sharper } = model.prepare?.(recorded) ?? { operations: recorded, model };
  for (const operations of sharper.partition?.(all) ?? [all]) {
    const result = search(operations, sharper, options.stepsMax ?? STEPS_MAX);
    if (result.verdict !== "ok") {
      return { verdict: result.verdict, explanation: explain(result, model, operations.length) };
    }
  }
  return { verdict: "ok" };
}

/** As {@link checkLinearizability}, but throws {@link LinearizabilityError} unless the verdict is `ok`. */
export function assertLinearizable<State, In, Out>(
  history: Pick<History<In, Out>, "operations">,
  model: Model<State, In, Out>,
  options: CheckOptions = {},
): void {
  const result = checkLinearizability(history, model, options);
  if (result.verdict !== "ok") throw new LinearizabilityError(result.explanation, { verdict: result.verdict });
}

function explain<State, In, Out>(
  result: SearchResult<State, In, Out>,
  model: Model<State, In, Out>,
  count: number,
): string {
  const { prefix, stuckAt, candidates, state } = result;
  const hidden = Math.max(0, prefix.length - PREFIX_SHOWN);
  const verdict = result.verdict === "unknown" ? "gave up; not shown to be linearizable" : "not linearizable";
  return [
    `${verdict}: of ${count} operations at most ${prefix.length} can be put in order`,
    ...(hidden > 0 ? [`  (${hidden} earlier ones)`] : []),
    ...prefix.slice(-PREFIX_SHOWN).map((op) => `  ${describe(op, model)}`),
    `then the state is ${model.describeState?.(state) ?? model.stateKey(state)}`,
    ...(stuckAt === undefined ? [] : ["and this one returned, but cannot be placed:", `  ${describe(stuckAt, model)}`]),
    `none of the ${candidates.length} operations running then fits:`,
    ...candidates.slice(0, CANDIDATES_SHOWN).map((op) => `  ${describe(op, model)}`),
  ].join("\n");
}

function describe<State, In, Out>(op: Operation<In, Out>, model: Model<State, In, Out>): string {
  const end = op.returnMs === undefined ? "?" : op.returnMs.toFixed(1);
  return `#${op.id} client ${op.client} [${op.callMs.toFixed(1)}, ${end}] ${model.describe(op.input, op.output)}`;
}
