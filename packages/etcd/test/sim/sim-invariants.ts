import type { Message } from "@keelson/raft";
import { assert, hexId, type MemberId } from "@keelson/types";

/**
 * What no run of Raft may show, whatever clients see: two leaders of one term (Raft §5.2), or a member that votes for two
 * candidates in one term. Looks at each message that leaves a member.
 */
export class Invariants {
  readonly #leaders = new Map<number, MemberId>();
  readonly #votes = new Map<string, MemberId>();
  readonly #onBroken: (error: unknown) => void;

  /** Told to the run, not thrown into the member's own code. */
  constructor(onBroken: (error: unknown) => void) {
    this.#onBroken = onBroken;
  }

  sent({ type, from, to, term, reject }: Message): void {
    try {
      if (type === "MsgApp" || type === "MsgHeartbeat" || type === "MsgSnap") {
        const leader = this.#leaders.getOrInsert(term, from);
        assert(leader === from, "a term has one leader", { term, one: hexId(leader), other: hexId(from) });
      } else if (type === "MsgVoteResp" && !reject) {
        const voted = this.#votes.getOrInsert(`${from} ${term}`, to);
        assert(voted === to, "a member votes once in a term", {
          term,
          member: hexId(from),
          one: hexId(voted),
          other: hexId(to),
        });
      }
    } catch (error) {
      this.#onBroken(error);
    }
  }
}
