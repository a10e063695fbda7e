import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CONF_CHANGE_TYPES, type ConfChangeSingle, parseConfChanges } from "../conf-change.ts";
import { sameConfState } from "../conf-state.ts";
import { ConfChangeError } from "../errors.ts";
import { describeConfig, describeProgressMap, ProgressTracker } from "../tracker/tracker.ts";
import type { ConfState } from "../types.ts";
import { Changer, EMPTY_MEMBERSHIP, type Membership } from "./changer.ts";
import { restore } from "./restore.ts";

// Thesis chapter 4: membership changes.

const limits = { lastIndex: 10, maxInflight: 10, maxInflightBytes: 0 };
const single: fc.Arbitrary<ConfChangeSingle> = fc.record({
  type: fc.constantFrom(...CONF_CHANGE_TYPES),
  nodeId: fc.bigInt({ min: 1n, max: 7n }),
});
const someChanges = fc.array(single, { minLength: 1, maxLength: 6 });
// Node 8 stays a voter, so that every step is legal.
const start = new Changer(EMPTY_MEMBERSHIP, limits).simple(parseConfChanges("v8"));

function bySimpleSteps(from: Membership, changes: readonly ConfChangeSingle[]): Membership {
  return changes.reduce((m, c) => new Changer(m, limits).simple([c]), from);
}

function confStateOf(m: Membership): ConfState {
  const tracker = new ProgressTracker(10, 0);
  tracker.switchTo(m.config, m.progress);
  return tracker.confState();
}

function outcomeOf(change: () => unknown): string {
  try {
    change();
    return "legal";
  } catch (error) {
    return error instanceof ConfChangeError ? error.code : String(error);
  }
}

describe("changes", () => {
  it("lead to the same members whether made one by one or through a joint configuration", () => {
    fc.assert(
      fc.property(someChanges, someChanges, fc.boolean(), (first, then, autoLeave) => {
        const before = bySimpleSteps(start, first);
        const joint = new Changer(before, limits).enterJoint(autoLeave, then);
        expect(joint.config.autoLeave).toBe(autoLeave);
        const left = new Changer(joint, limits).leaveJoint();
        const stepped = bySimpleSteps(before, then);
        expect(describeConfig(left.config)).toBe(describeConfig(stepped.config));
        expect(new Set(left.progress.keys())).toEqual(new Set(stepped.progress.keys()));
      }),
    );
  });
  it("that are refused leave what was given untouched", () => {
    fc.assert(
      fc.property(someChanges, someChanges, (first, then) => {
        const m = bySimpleSteps(start, first);
        const show = (): string => `${describeConfig(m.config)}\n${describeProgressMap(m.progress)}`;
        const before = show();
        expect(outcomeOf(() => new Changer(m, limits).simple(then))).toMatch(/^(legal|ERR_RAFT_CONF_CHANGE)$/);
        expect(show()).toBe(before);
      }),
    );
  });
});

describe("restore", () => {
  it("rebuilds any configuration that changes can reach, joint or not", () => {
    fc.assert(
      fc.property(someChanges, fc.option(someChanges), fc.boolean(), (first, joint, autoLeave) => {
        const simple = bySimpleSteps(start, first);
        const m = joint === null ? simple : new Changer(simple, limits).enterJoint(autoLeave, joint);
        const cs = confStateOf(m);
        expect(sameConfState(confStateOf(restore(cs, limits)), cs)).toBe(true);
      }),
    );
  });
  it("of the example in the thesis' notation", () => {
    const cs: ConfState = {
      voters: [1n, 2n, 3n],
      learners: [5n],
      votersOutgoing: [1n, 2n, 4n, 6n],
      learnersNext: [4n],
      autoLeave: true,
    };
    expect(describeConfig(restore(cs, limits).config)).toBe(
      "voters=(1 2 3)&&(1 2 4 6) learners=(5) learners_next=(4) autoleave",
    );
  });
  it("refuses what no change leads to", () => {
    const cs: ConfState = { voters: [], learners: [1n], votersOutgoing: [], learnersNext: [], autoLeave: false };
    expect(() => restore(cs, limits)).toThrow(new ConfChangeError("removed all voters"));
  });
});
