import type { AnyConfChange, RawNode } from "@keelson/raft";
import type { Clock } from "@keelson/types";
import { EtcdError, type EtcdErrorCode } from "./core/errors.ts";
import type { MemberChange } from "./core/membership.ts";
import type { ApplyOutcome, StateMachine } from "./core/state-machine.ts";

/** Changes of the membership that this member's clients asked for, on their way through the log. */
export class ConfChanges {
  readonly #clock: Clock;
  readonly #waiting = new Map<bigint, (outcome: ApplyOutcome) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Remembers a change; resolves when it was applied. @throws EtcdError */
  wait(id: bigint, timeoutMs: number): Promise<ApplyOutcome> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(timeoutMs, () => this.finish(id, { error: new EtcdError("ERR_TIMEOUT") }));
      this.#waiting.set(id, (outcome) => {
        timer[Symbol.dispose]();
        if (outcome.error === undefined) resolve(outcome);
        else reject(outcome.error);
      });
    });
  }

  /** Within the driver's loop. */
  propose(id: bigint, change: AnyConfChange, node: RawNode): void {
    if (node.proposeConfChange(change) !== "ok") this.finish(id, { error: new EtcdError("ERR_NO_LEADER") });
  }

  finish(id: bigint, outcome: ApplyOutcome): void {
    const done = this.#waiting.get(id);
    this.#waiting.delete(id);
    done?.(outcome);
  }

  failAll(code: EtcdErrorCode): void {
    for (const id of Array.from(this.#waiting.keys())) this.finish(id, { error: new EtcdError(code) });
  }
}

/** Carries out a change on the membership; what does not fit is refused, on all members alike. */
export function changeMembers(state: StateMachine, change: MemberChange | undefined): ApplyOutcome {
  if (change === undefined) return {};
  try {
    state.changeMembers(change);
    return {};
  } catch (error) {
    if (error instanceof EtcdError) return { error };
    throw error;
  }
}
