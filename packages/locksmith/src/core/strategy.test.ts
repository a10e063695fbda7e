import { expect, it } from "vitest";
import { nextStep, parseStrategy, type RebootView } from "./strategy.ts";

const OPEN = { isOpen: true, opensAtMs: 1_000, closesAtMs: 9_000 };
const CLOSED = { isOpen: false, opensAtMs: 7_000, closesAtMs: 9_000 };
const view = (changes: Partial<RebootView>): RebootView => ({
  strategy: "etcd-lock",
  window: undefined,
  jitterMs: 0,
  nowMs: 5_000,
  isHolding: false,
  unreachableMs: 0,
  patienceMs: 60_000,
  quorum: undefined,
  ...changes,
});
const show = (changes: Partial<RebootView>) => {
  const step = nextStep(view(changes));
  if (step.do === "wait") return `wait${step.giveBack ? ", give back" : ""}, until ${step.untilMs}: ${step.reason}`;
  if (step.do === "lock") return `lock before ${step.beforeMs}`;
  if (step.do === "go") return step.withLock ? "go with the lock" : "go";
  return step.do === "refuse" ? `refuse: ${step.reason}` : step.do;
};
const NO = { ok: false, reason: "no majority" } as const;
const YES = { ok: true } as const;

it.each<[string, Partial<RebootView>, string]>([
  ["off refuses", { strategy: "off" }, "refuse: the reboot strategy is off"],
  ["reboot asks for the quorum only", { strategy: "reboot" }, "ask-quorum"],
  ["reboot goes", { strategy: "reboot", quorum: YES }, "go"],
  [
    "reboot waits for its window",
    { strategy: "reboot", window: CLOSED, quorum: YES },
    "wait, until 7000: waiting for the reboot window",
  ],
  [
    "a machine's own turn in the window",
    { strategy: "reboot", window: OPEN, jitterMs: 3_900, nowMs: 4_000 },
    "wait, until 4900: waiting for this machine's turn in the reboot window",
  ],
  [
    "a delay never eats more than half of the window",
    { strategy: "reboot", window: OPEN, jitterMs: 8_000, nowMs: 5_000 },
    "ask-quorum",
  ],
  ["etcd-lock: the window first", { window: CLOSED }, "wait, until 7000: waiting for the reboot window"],
  ["then the lock, as long as the window is open", { window: OPEN }, "lock before 9000"],
  ["then the quorum", { window: OPEN, isHolding: true }, "ask-quorum"],
  ["then it goes", { window: OPEN, isHolding: true, quorum: YES }, "go with the lock"],
  [
    "the window closed while it waited for the lock: give it back",
    { window: CLOSED, isHolding: true, quorum: YES },
    "wait, give back, until 7000: waiting for the reboot window",
  ],
  [
    "the quorum would be lost: give it back",
    { isHolding: true, quorum: NO },
    "wait, give back, until undefined: no majority",
  ],
  ["etcd-lock never goes without the lock", { unreachableMs: 1e9, quorum: YES }, "lock before undefined"],
  [
    "best-effort wants the lock",
    { strategy: "best-effort", unreachableMs: 59_000, quorum: YES },
    "lock before undefined",
  ],
  ["best-effort loses its patience", { strategy: "best-effort", unreachableMs: 60_000, quorum: YES }, "go"],
  [
    "also then the quorum counts",
    { strategy: "best-effort", unreachableMs: 60_000, quorum: NO },
    "wait, until undefined: no majority",
  ],
])("%s", (_title, changes, want) => expect(show(changes)).toBe(want));

it("names of strategies", () => {
  expect(["", "reboot", "etcd-lock", "best-effort", "off"].map(parseStrategy)).toEqual([
    "reboot",
    "reboot",
    "etcd-lock",
    "best-effort",
    "off",
  ]);
  expect(() => parseStrategy("now")).toThrow("unknown strategy: now (one of reboot, etcd-lock, best-effort, off)");
});
