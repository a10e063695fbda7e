import type { Model } from "./linearizability.ts";

/** An operation on one of many registers; a register never written holds undefined. */
export type RegisterInput =
  | { readonly type: "read"; readonly key: string }
  | { readonly type: "write"; readonly key: string; readonly value: string }
  | { readonly type: "cas"; readonly key: string; readonly from: string | undefined; readonly to: string };

/** The answer: what was read, and whether a compare-and-set took place. */
export interface RegisterOutput {
  readonly value?: string | undefined;
  readonly swapped?: boolean;
}

/** What one register holds. */
export interface RegisterState {
  readonly value: string | undefined;
}

/** Independent registers, one partition per key: much faster than one model of all keys. */
export const registerModel: Model<RegisterState, RegisterInput, RegisterOutput> = {
  init: () => ({ value: undefined }),
  step(state, input, output) {
    switch (input.type) {
      case "read":
        return output === undefined || output.value === state.value ? state : undefined;
      case "write":
        return { value: input.value };
      case "cas": {
        const swaps = state.value === input.from;
        if (output !== undefined && output.swapped !== swaps) return undefined;
        return swaps ? { value: input.to } : state;
      }
    }
  },
  stateKey: (state) => (state.value === undefined ? "-" : `=${state.value}`),
  partition: (operations) => [...Map.groupBy(operations, (op) => op.input.key).values()],
  describe: (input, output) =>
    `${JSON.stringify(input)} -> ${output === undefined ? "unknown" : JSON.stringify(output)}`,
  describeState: (state) => JSON.stringify(state.value) ?? "never written",
};
