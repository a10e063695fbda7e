import { assert, type Clock } from "@keelson/types";

/** One operation of a client. */
export interface Operation<In, Out> {
  /** Position in the history, from 0. */
  readonly id: number;
  readonly client: string | number;
  readonly input: In;
  /** Undefined while running and when the outcome is unknown. */
  readonly output: Out | undefined;
  /** Place of the call in the order of all calls and returns. */
  readonly call: number;
  /** Place of the return; undefined: no answer, so it may take effect at any later time, or never. */
  readonly return: number | undefined;
  readonly callMs: number;
  readonly returnMs: number | undefined;
}

/** A call that waits for its answer. Exactly one method is to be called; none is the same as `unknown`. */
export interface PendingOperation<Out> {
  /** It was answered. */
  ok(output: Out): void;
  /** It surely has not taken and will not take effect (the server refused it): it is left out of the history. */
  refused(): void;
  /** Nobody knows: a time-out, a lost connection. */
  unknown(): void;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * What clients of a system did and saw. Calls and returns are ordered by the calls of this class, not by the clock: two things
 * of one virtual instant still have an order.
 */
export class History<In, Out> {
  readonly #clock: Pick<Clock, "monotonicMs"> | undefined;
  readonly #operations = new Map<number, Mutable<Operation<In, Out>>>();
  #events = 0;
  #ids = 0;

  /** `clock` gives the times shown in explanations. */
  constructor(clock?: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Records a call. */
  begin(client: string | number, input: In): PendingOperation<Out> {
    const id = this.#ids++;
    const operation: Mutable<Operation<In, Out>> = {
      id,
      client,
      input,
      output: undefined,
      call: this.#events++,
      return: undefined,
      callMs: this.#now(),
      returnMs: undefined,
    };
    this.#operations.set(id, operation);
    let isOver = false;
    const finish = () => {
      assert(!isOver, "an operation ends once", { id });
      isOver = true;
    };
    return {
      ok: (output) => {
        finish();
        operation.output = output;
        operation.return = this.#events++;
        operation.returnMs = this.#now();
      },
      refused: () => {
        finish();
        this.#operations.delete(id);
      },
      unknown: finish,
    };
  }

  /** In the order of the calls. */
  operations(): readonly Operation<In, Out>[] {
    return [...this.#operations.values()];
  }

  #now(): number {
    return this.#clock?.monotonicMs() ?? 0;
  }
}
