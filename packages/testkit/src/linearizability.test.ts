import { expect, it } from "vitest";
import { History, type Operation } from "./history.ts";
import { assertLinearizable, checkLinearizability } from "./linearizability.ts";
import { Prng } from "./prng.ts";
import { type RegisterInput, type RegisterOutput, registerModel } from "./register-model.ts";
import { SimClock } from "./sim-clock.ts";

type RegisterHistory = History<RegisterInput, RegisterOutput>;
const write = (value: string, key = "x"): RegisterInput => ({ type: "write", key, value });
const read = (key = "x"): RegisterInput => ({ type: "read", key });
const verdict = (history: Pick<RegisterHistory, "operations">) => checkLinearizability(history, registerModel).verdict;

it("accepts a read of either value while a write runs", () => {
  for (const value of ["old", "new"]) {
    const history: RegisterHistory = new History();
    history.begin("a", write("old")).ok({});
    const writing = history.begin("a", write("new"));
    history.begin("b", read()).ok({ value });
    writing.ok({});
    expect(verdict(history)).toBe("ok");
  }
});

it("refuses a stale read, and one that goes back", () => {
  const stale: RegisterHistory = new History();
  stale.begin("a", write("old")).ok({});
  stale.begin("a", write("new")).ok({});
  stale.begin("b", read()).ok({ value: "old" });
  expect(verdict(stale)).toBe("violation");

  const back: RegisterHistory = new History();
  back.begin("a", write("old")).ok({});
  const writing = back.begin("a", write("new"));
  back.begin("b", read()).ok({ value: "new" });
  back.begin("c", read()).ok({ value: "old" });
  writing.ok({});
  expect(verdict(back)).toBe("violation");
});

it("lets a write of unknown outcome take effect late or never, but not both ways", () => {
  const make = (...values: (string | undefined)[]) => {
    const history: RegisterHistory = new History();
    history.begin("a", write("new")).unknown();
    for (const value of values) history.begin("b", read()).ok({ value });
    return history;
  };
  expect(verdict(make(undefined, undefined))).toBe("ok");
  expect(verdict(make(undefined, "new", "new"))).toBe("ok");
  expect(verdict(make(undefined, "new", undefined))).toBe("violation");
  const before: RegisterHistory = new History();
  before.begin("b", read()).ok({ value: "new" });
  before.begin("a", write("new")).unknown();
  expect(verdict(before)).toBe("violation");
});

it("leaves out what was surely refused", () => {
  const history: RegisterHistory = new History();
  history.begin("a", write("new")).refused();
  history.begin("b", read()).ok({ value: "new" });
  expect(verdict(history)).toBe("violation");
  expect(history.operations()).toHaveLength(1);
});

it("checks compare-and-set, and each key for itself", () => {
  const history: RegisterHistory = new History();
  history.begin("a", { type: "cas", key: "x", from: undefined, to: "1" }).ok({ swapped: true });
  history.begin("a", { type: "cas", key: "x", from: "0", to: "2" }).ok({ swapped: false });
  history.begin("b", read("y")).ok({ value: undefined });
  expect(verdict(history)).toBe("ok");
  history.begin("a", { type: "cas", key: "x", from: "1", to: "2" }).ok({ swapped: false });
  expect(verdict(history)).toBe("violation");
});

it("explains how far it got, and what cannot be placed", () => {
  const clock = new SimClock();
  const history: RegisterHistory = new History(clock);
  history.begin("a", write("1")).ok({});
  clock.run(5);
  history.begin("a", write("2")).ok({});
  const running = history.begin("c", write("3"));
  history.begin("b", read()).ok({ value: "1" });
  running.ok({});
  const result = checkLinearizability(history, registerModel);
  expect(result.verdict === "violation" && result.explanation.split("\n")).toEqual([
    "not linearizable: of 4 operations at most 3 can be put in order",
    '  #0 client a [0.0, 0.0] {"type":"write","key":"x","value":"1"} -> {}',
    '  #1 client a [5.0, 5.0] {"type":"write","key":"x","value":"2"} -> {}',
    '  #2 client c [5.0, 5.0] {"type":"write","key":"x","value":"3"} -> {}',
    'then the state is "3"',
    "and this one returned, but cannot be placed:",
    '  #3 client b [5.0, 5.0] {"type":"read","key":"x"} -> {"value":"1"}',
    "none of the 1 operations running then fits:",
    '  #3 client b [5.0, 5.0] {"type":"read","key":"x"} -> {"value":"1"}',
  ]);
  expect(() => assertLinearizable(history, registerModel)).toThrow(/not linearizable/);
});

it("gives up at its bound and says so", () => {
  const history: RegisterHistory = new History();
  const writes = Array.from({ length: 12 }, (_, i) => history.begin(i, write(String(i))));
  const reading = history.begin("r", read());
  for (const w of writes) w.ok({});
  reading.ok({ value: "never written" });
  expect(checkLinearizability(history, registerModel, { stepsMax: 1_000 }).verdict).toBe("unknown");
  expect(verdict(history)).toBe("violation");
});

it("agrees with trying every order, on 3,000 small histories", () => {
  const counts = { ok: 0, violation: 0, unknown: 0 };
  for (let seed = 0; seed < 3_000; seed++) {
    const operations = randomHistory(new Prng(`small ${seed}`), 6);
    const result = verdict({ operations: () => operations });
    expect({ seed, result }).toEqual({ seed, result: hasOrder(operations, undefined) ? "ok" : "violation" });
    counts[result]++;
  }
  expect(Math.min(counts.ok, counts.violation)).toBeGreaterThan(500);
});

/** Answers drawn at random, so that many histories are wrong. */
function randomHistory(rng: Prng, size: number): readonly Operation<RegisterInput, RegisterOutput>[] {
  const history: RegisterHistory = new History();
  const value = () => rng.pick(["1", "2"]);
  const running: (() => void)[] = [];
  for (let begun = 0; begun < size || running.length > 0; ) {
    if (begun < size && (running.length === 0 || rng.chance(0.5))) {
      begun++;
      const kind = rng.below(3);
      if (kind === 0) {
        const op = history.begin(begun, read());
        running.push(() => op.ok({ value: rng.pick([undefined, "1", "2"]) }));
      } else if (kind === 1) {
        const op = history.begin(begun, write(value()));
        running.push(() => (rng.chance(0.2) ? op.unknown() : op.ok({})));
      } else {
        const op = history.begin(begun, { type: "cas", key: "x", from: value(), to: value() });
        running.push(() => (rng.chance(0.2) ? op.unknown() : op.ok({ swapped: rng.chance(0.5) })));
      }
    } else running.splice(rng.below(running.length), 1)[0]?.();
  }
  return history.operations();
}

/** The definition, tried out: any left operation that no other left one precedes may come next. */
function hasOrder(left: readonly Operation<RegisterInput, RegisterOutput>[], value: string | undefined): boolean {
  if (left.every((op) => op.return === undefined)) return true;
  return left.some((op) => {
    if (left.some((other) => (other.return ?? Number.POSITIVE_INFINITY) < op.call)) return false;
    const after = registerModel.step({ value }, op.input, op.output);
    return (
      after !== undefined &&
      hasOrder(
        left.filter((other) => other !== op),
        after.value,
      )
    );
  });
}
