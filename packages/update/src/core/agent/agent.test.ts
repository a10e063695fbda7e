import { describe, expect, it } from "vitest";
import type { Choice } from "../choose.ts";
import { type Attempt, EMPTY_MEMORY, type Memory } from "../memory.ts";
import type { Agent, AgentEvent, BootFacts, Effect, OpEvent, Policy, Step } from "./model.ts";
import { startAgent } from "./start.ts";
import { stepAgent, whyNot } from "./step.ts";

const POLICY: Policy = {
  isEnabled: true,
  machine: "m1",
  steadyMs: 300_000,
  retryMinMs: 1_000,
  retryMaxMs: 60_000,
  failuresMax: 3,
  abandonMs: 600_000,
  gateDeadlineMs: 300_000,
  preflightDeadlineMs: 60_000,
  needsLock: true,
};
const target = (n: number) => ({ version: `${n}.0.0`, commit: String(n).repeat(64) });
const deployed = (n: number) => ({ ...target(n), deployment: `d${n}` });
const BOOT: BootFacts = { bootId: "boot-1", booted: deployed(1), previous: deployed(0), isTrial: false };
const NOW = { nowS: 1_000, roll: 0 };
const offer = (n: number): AgentEvent => ({ type: "graph", choice: { kind: "update", target: target(n) } });
const GREEN: OpEvent = { type: "gate", isGreen: true, reason: "" };
const RED: OpEvent = { type: "gate", isGreen: false, reason: "fleetd: silent" };

/** Runs an agent through events and keeps what it wanted done. Results of effects get the present `op`. */
class Script {
  agent: Agent;
  effects: readonly Effect[];

  constructor(first: Step) {
    this.agent = first.agent;
    this.effects = first.effects;
  }

  on(...events: readonly (AgentEvent | OpEvent)[]): this {
    for (const event of events) {
      const full = { op: this.agent.op, ...event } as AgentEvent;
      const { agent, effects } = stepAgent(this.agent, full, NOW);
      this.agent = agent;
      this.effects = effects;
    }
    return this;
  }

  /** `state (note): effect effect`, waits in seconds. */
  get shown(): string {
    const { phase } = this.agent;
    const note = "note" in phase && phase.note !== undefined ? ` (${phase.note})` : "";
    const effects = this.effects.map((e) => (e.do === "wait" ? `wait ${e.ms / 1_000}s` : e.do));
    return `${phase.state}${note}: ${effects.join(" ")}`.trim();
  }

  get step(): string | undefined {
    return this.agent.memory.attempt?.step;
  }
}

const start = (boot: Partial<BootFacts> = {}, memory: Memory = EMPTY_MEMORY, policy: Partial<Policy> = {}) =>
  new Script(startAgent({ ...POLICY, ...policy }, { ...BOOT, ...boot }, { memory }, NOW));
const idle = () => start().on(GREEN, { type: "released" }, { type: "graph", choice: { kind: "none" } });
const held = () =>
  start()
    .on(GREEN, { type: "released" }, offer(2))
    .on({ type: "pulled" }, { type: "staged", deployment: "d2" }, { type: "locked" });
const attempt = (step: Attempt["step"], changes: Partial<Attempt> = {}): Memory => ({
  ...EMPTY_MEMORY,
  attempt: {
    kind: "update",
    target: target(2),
    from: target(1),
    deployment: "d2",
    step,
    bootId: "boot-0",
    startedAt: 900,
    reboots: 1,
    ...changes,
  },
});

describe("the way of a good update", () => {
  it("is written down before each step that cannot be taken back", () => {
    const script = start();
    const seen = [script.shown];
    const events: (AgentEvent | OpEvent)[] = [
      GREEN,
      { type: "released" },
      offer(2),
      { type: "pulled" },
      { type: "staged", deployment: "d2" },
      { type: "lock-waiting", what: "window", note: "opens at 3" },
      { type: "locked" },
      { type: "cleared", verdict: { kind: "clear" } },
      GREEN,
      { type: "finalized" },
    ];
    for (const event of events)
      seen.push(`${script.on(event).shown}${script.step === undefined ? "" : ` [${script.step}]`}`);
    expect(seen).toEqual([
      "starting: resume-lock run-gate",
      "starting: release-lock",
      "checking: ask-graph",
      "pulling: pull",
      "pulling: stage",
      "waiting-for-lock: take-lock wait 300s",
      "waiting-for-window (opens at 3):",
      "finalizing: clear",
      "finalizing: run-gate",
      "finalizing: finalize [locked]",
      "rebooting: reboot wait 600s [armed]",
    ]);
    const after = start(
      { booted: deployed(2), previous: deployed(1), isTrial: true, bootId: "boot-2" },
      script.agent.memory,
    );
    const then = [`${after.shown} [${after.step}]`];
    for (const event of [GREEN, { type: "marked-good" }, { type: "released" }] as OpEvent[]) {
      then.push(`${after.on(event).shown}${after.step === undefined ? "" : ` [${after.step}]`}`);
    }
    expect(then).toEqual([
      "verifying: resume-lock run-gate [verifying]",
      "verifying: mark-good [verifying]",
      "good: release-lock [good]",
      "idle: clean-up wait 1s",
    ]);
    expect(after.agent.memory.history).toMatchObject([{ what: "updated", from: target(1), to: target(2) }]);
  });
});

describe("idle", () => {
  it.each<[string, Choice, string]>([
    ["nothing new", { kind: "none" }, "idle: wait 300s"],
    ["unknown", { kind: "unknown" }, "idle (the update server does not know the version that runs here): wait 300s"],
    ["a dead end", { kind: "deadend", reason: "eol" }, "idle (this version is a dead end: eol): wait 300s"],
    [
      "older only",
      { kind: "downgrade", version: "0" },
      "idle (only the older 0 is offered, and updates.allow_downgrade is not set): wait 300s",
    ],
    [
      "denied",
      { kind: "denied", denied: [{ ...target(2), reason: "bad", machine: "m9", at: 1 }] },
      "idle (2.0.0 is denied (m9: bad)): wait 300s",
    ],
  ])("%s", (_title, choice, want) => {
    expect(start().on(GREEN, { type: "released" }, { type: "graph", choice }).shown).toBe(want);
  });

  it("an update costs no memory before the lock is held: an idle machine writes nothing", () => {
    expect(idle().agent.memory).toBe(EMPTY_MEMORY);
    expect(idle().on({ type: "tick" }, { type: "graph-failed", reason: "x" }).agent.memory).toBe(EMPTY_MEMORY);
  });

  it("a dead server is asked less and less often", () => {
    const script = start().on(GREEN, { type: "released" });
    const waits = [1, 2, 3, 4].map(() => {
      script.on({ type: "graph-failed", reason: "dead" });
      const shown = script.shown;
      script.on({ type: "tick" });
      return /wait (\d+)s/.exec(shown)?.[1];
    });
    expect(waits).toEqual(["1", "2", "4", "8"]);
  });

  it("disabled it asks nobody, but still looks after itself", () => {
    const script = start({}, EMPTY_MEMORY, { isEnabled: false }).on(GREEN, { type: "released" });
    expect(script.shown).toBe("idle (updates are disabled):");
    expect(script.on({ type: "tick" }).shown).toBe("idle (updates are disabled):");
  });
});

describe("on the way", () => {
  it("failures are retried more and more slowly, then left alone", () => {
    const script = idle().on({ type: "tick" }, offer(2));
    const failed: OpEvent = { type: "pull-failed", reason: "no space", isFinal: false };
    const seen = [];
    for (let i = 0; i < 3; i++) {
      seen.push(script.on(failed).shown);
      if (i < 2) script.on({ type: "tick" });
    }
    expect(seen).toEqual([
      "available (no space): wait 1s",
      "available (no space): wait 2s",
      "abandoned (no space): wait 600s",
    ]);
    expect(script.agent.memory.history).toMatchObject([{ what: "abandoned", to: target(2), reason: "no space" }]);
    expect(script.on({ type: "tick" }).shown).toBe("checking: ask-graph");
  });

  it("a wrong signature is not tried twice", () => {
    const script = idle().on({ type: "tick" }, offer(2), { type: "pull-failed", reason: "signature", isFinal: true });
    expect(script.shown).toBe("abandoned (signature): wait 600s");
  });

  it("late results of what was given up do not count", () => {
    const script = idle().on({ type: "tick" }, offer(2));
    const { op } = script.agent;
    script.on({ type: "pull-failed", reason: "x", isFinal: false }, { type: "tick" });
    expect(script.on({ type: "pulled", op }).shown).toBe("pulling:");
  });

  it("while it waits for the lock a better version, a denial or a withdrawal is heard of", () => {
    const waiting = () =>
      idle().on({ type: "tick" }, offer(2), { type: "pulled" }, { type: "staged", deployment: "d2" });
    expect(waiting().on({ type: "tick" }).shown).toBe("waiting-for-lock: ask-graph wait 300s");
    expect(waiting().on(offer(2)).shown).toBe("waiting-for-lock:");
    expect(waiting().on(offer(3)).shown).toBe("pulling: cancel-lock pull");
    expect(waiting().on({ type: "graph", choice: { kind: "none" } }).shown).toBe("idle: cancel-lock wait 300s");
    expect(waiting().on({ type: "graph-failed", reason: "x" }).shown).toBe("waiting-for-lock:");
  });

  it("denied by others when the lock is got: given back, remembered, and something else looked for", () => {
    const denial = { ...target(2), reason: "bad", machine: "m9", at: 1 };
    const script = held().on({ type: "cleared", verdict: { kind: "denied", denial } });
    expect(script.shown).toBe("idle (2.0.0 is denied (m9: bad)): release-lock wait 1s");
    expect(script.agent.memory.denied).toEqual([denial]);
  });

  it("a machine that is ill gives the lock back and does not try", () => {
    const script = held().on({ type: "cleared", verdict: { kind: "clear" } }, RED);
    expect(script.shown).toBe("staged (this machine is not well: fleetd: silent): release-lock wait 300s");
    expect(script.agent.memory.attempt).toBeUndefined();
  });

  it("with a lock nothing goes on without the others' word; without one it does", () => {
    const unknown: OpEvent = { type: "cleared", verdict: { kind: "unknown", reason: "etcd" } };
    expect(held().on(unknown).shown).toBe("staged (the other machines cannot be asked: etcd): release-lock wait 2s");
    const alone = start({}, EMPTY_MEMORY, { needsLock: false }).on(GREEN, { type: "released" }, offer(2));
    alone.on({ type: "pulled" }, { type: "staged", deployment: "d2" }, { type: "locked" }, unknown);
    expect(alone.shown).toBe("finalizing: run-gate");
  });

  it("a lost lock ends it before the reboot", () => {
    const script = held().on({ type: "cleared", verdict: { kind: "clear" } }, GREEN);
    expect(script.step).toBe("locked");
    expect(script.on({ type: "lock-lost", reason: "lease" }).shown).toBe(
      "staged (the reboot lock was lost: lease): release-lock wait 1s",
    );
    expect(script.step).toBeUndefined();
  });

  it("a reboot that is refused gives the lock back", () => {
    const script = held().on({ type: "cleared", verdict: { kind: "clear" } }, GREEN, { type: "finalized" });
    expect(script.on({ type: "reboot-failed", reason: "held no more" }).shown).toBe(
      "staged (could not reboot: held no more): release-lock wait 1s",
    );
  });
});

describe("after a boot", () => {
  const trial: Partial<BootFacts> = { bootId: "boot-2", booted: deployed(2), previous: deployed(1), isTrial: true };
  const old: Partial<BootFacts> = { bootId: "boot-2" };
  it.each<[string, Partial<BootFacts>, Memory, string]>([
    ["on the new version", trial, attempt("armed"), "verifying: resume-lock run-gate"],
    ["power lost after arming: it boots it all the same", trial, attempt("locked"), "verifying: resume-lock run-gate"],
    ["a second try of it", trial, attempt("verifying"), "verifying: resume-lock run-gate"],
    ["marked good before the agent died", { ...trial, isTrial: false }, attempt("verifying"), "good: release-lock"],
    [
      "given up by the agent before, and still here",
      trial,
      attempt("failed", { reason: "r" }),
      "verifying: resume-lock go-back",
    ],
    ["marked good, lock not given back", { ...trial, isTrial: false }, attempt("good"), "good: release-lock"],
    ["a trial that nobody remembers", trial, EMPTY_MEMORY, "verifying: resume-lock run-gate"],
    ["nothing ever happened", old, EMPTY_MEMORY, "starting: resume-lock run-gate"],
    ["power lost before the boot entry was written", old, attempt("locked"), "starting: resume-lock run-gate"],
    [
      "the agent restarted while it held the lock",
      old,
      attempt("locked", { bootId: "boot-2" }),
      "waiting-for-lock: take-lock wait 300s",
    ],
    [
      "the agent restarted before the reboot came",
      old,
      attempt("armed", { bootId: "boot-2" }),
      "waiting-for-lock: take-lock wait 300s",
    ],
    [
      "armed, but the boot menu chose the old one",
      { ...old, armed: target(2) },
      attempt("armed"),
      "waiting-for-lock: take-lock wait 300s",
    ],
    [
      "that three times",
      { ...old, armed: target(2) },
      attempt("armed", { reboots: 3 }),
      "rolled-back: resume-lock share-denial",
    ],
    [
      "it panicked",
      { ...old, rolledBack: { ...target(2), reason: "kernel panic" } },
      attempt("armed"),
      "rolled-back: resume-lock share-denial",
    ],
    ["the gate was red", old, attempt("failed", { reason: "health gate: x" }), "rolled-back: resume-lock share-denial"],
    ["back, agent restarted", old, attempt("rolled-back", { reason: "y" }), "rolled-back: resume-lock share-denial"],
    [
      "rolled back, and nobody remembers",
      { ...old, rolledBack: { ...target(2), reason: "panic" } },
      EMPTY_MEMORY,
      "rolled-back: resume-lock share-denial",
    ],
    [
      "an operator chose the denied one in the menu",
      { ...trial, isTrial: false },
      attempt("rolled-back"),
      "starting: resume-lock run-gate",
    ],
    ["an operator went back from a good one", old, attempt("good"), "starting: resume-lock run-gate"],
  ])("%s", (_title, boot, memory, want) => expect(start(boot, memory).shown).toBe(want));

  it("red: the reason is on disk before the way back, and the lock is kept through it", () => {
    const script = start(trial, attempt("armed")).on(RED);
    expect(script.shown).toBe("verifying (health gate: fleetd: silent): go-back");
    expect(script.agent.memory.attempt).toMatchObject({ step: "failed", reason: "health gate: fleetd: silent" });
    expect(script.on({ type: "went-back" }).shown).toBe("rebooting: reboot wait 600s");
    expect(script.effects[0]).toMatchObject({ needsLock: false });
  });

  it("if the way back cannot be written, the boot loader's own count is left to do it", () => {
    const script = start(trial, attempt("armed")).on(RED);
    const failed: OpEvent = { type: "go-back-failed", reason: "I/O" };
    expect(script.on(failed, { type: "tick" }, failed, { type: "tick" }, failed).shown).toBe(
      "rebooting: reboot wait 600s",
    );
  });

  it("back: denied here, then everywhere, then well, and only then is the lock given back", () => {
    const script = start(old, attempt("failed", { reason: "health gate: x" }));
    expect(script.agent.memory.denied).toEqual([{ ...target(2), reason: "health gate: x", machine: "m1", at: 1_000 }]);
    const seen = [];
    for (const event of [
      { type: "share-failed", reason: "etcd" },
      { type: "tick" },
      { type: "shared" },
      RED,
      { type: "tick" },
      GREEN,
      { type: "released" },
    ] as const) {
      seen.push(script.on(event).shown);
    }
    expect(seen).toEqual([
      "rolled-back (the other machines cannot be told: etcd): wait 1s",
      "rolled-back (the other machines cannot be told: etcd): share-denial",
      "rolled-back: run-gate",
      "rolled-back (back, but this machine is not well: fleetd: silent): wait 1s",
      "rolled-back (back, but this machine is not well: fleetd: silent): run-gate",
      "rolled-back: release-lock",
      "idle (rolled back from 2.0.0: health gate: x): wait 1s",
    ]);
    expect(script.agent.memory.history).toHaveLength(1);
  });

  it("a restart in the middle of it adds nothing to the history", () => {
    const first = start(old, attempt("failed", { reason: "x" }));
    const again = start(old, first.agent.memory);
    expect(again.agent.memory.history).toEqual(first.agent.memory.history);
    expect(again.agent.memory.denied).toEqual(first.agent.memory.denied);
  });
});

describe("a state file that cannot be read", () => {
  const unreadable = (boot: Partial<BootFacts> = {}) =>
    new Script(startAgent(POLICY, { ...BOOT, ...boot }, { unreadable: "state.json is broken" }, NOW));
  it("nothing is looked for until an operator says so", () => {
    const script = unreadable().on(GREEN, { type: "released" });
    expect(script.shown).toBe("idle (state.json is broken):");
    expect(script.on({ type: "tick" }).shown).toBe("idle (state.json is broken):");
    expect(whyNot(script.agent, "check")).toBe("state.json is broken; osctl update now starts afresh");
    expect(script.on({ type: "command", command: "now" }).shown).toBe("checking: ask-graph");
    expect(script.agent.held).toBeUndefined();
  });

  it("a trial is marked good if it is, but a red one is not left by itself", () => {
    const trial = { booted: deployed(2), isTrial: true };
    expect(unreadable(trial).on(GREEN).shown).toBe("verifying: mark-good");
    expect(unreadable(trial).on(RED).shown).toBe(
      "verifying (this machine is not well: fleetd: silent; state.json is broken): wait 8s",
    );
  });
});

describe("commands", () => {
  it("now asks eagerly, ignores the window, and does not look whether the machine is well", () => {
    const script = idle().on({ type: "command", command: "now" });
    expect(script.effects).toEqual([{ do: "ask-graph", isEager: true }]);
    script.on(offer(2), { type: "pulled" }, { type: "staged", deployment: "d2" });
    expect(script.effects[0]).toMatchObject({ do: "take-lock", ignoreWindow: true });
    script.on({ type: "locked" }, { type: "cleared", verdict: { kind: "clear" } });
    expect(script.shown).toBe("finalizing: finalize");
  });

  it("now, on a machine that is not well, leaves no old lock behind", () => {
    const script = start().on(RED, { type: "command", command: "now" });
    expect(script.shown).toBe("checking: cancel-lock ask-graph");
  });

  it("now ends the wait for a window", () => {
    const script = idle().on({ type: "tick" }, offer(2), { type: "pulled" }, { type: "staged", deployment: "d2" });
    script.on({ type: "lock-waiting", what: "window" }, { type: "command", command: "now" });
    expect(script.shown).toBe("waiting-for-lock: cancel-lock take-lock wait 300s");
  });

  it("rollback takes the lock, goes back, and denies the version for this machine only", () => {
    const script = idle().on({ type: "command", command: "rollback" });
    expect(script.shown).toBe("waiting-for-lock: take-lock wait 300s");
    expect(script.on({ type: "locked" }).shown).toBe("finalizing: go-back");
    expect(script.agent.memory.attempt).toMatchObject({
      kind: "rollback",
      target: target(0),
      from: target(1),
      step: "locked",
    });
    expect(script.on({ type: "went-back" }).shown).toBe("rebooting: reboot wait 600s");
    const after = start({ booted: deployed(0), isTrial: true, bootId: "boot-2" }, script.agent.memory);
    after.on(GREEN, { type: "marked-good" }, { type: "released" });
    expect(after.agent.memory.history).toMatchObject([{ what: "reverted", from: target(1), to: target(0) }]);
    expect(after.agent.memory.denied).toMatchObject([{ ...target(1), reason: "rolled back by an operator" }]);
  });

  it.each<[string, Agent, "check" | "now" | "rollback", string | undefined]>([
    ["busy", held().agent, "check", "the agent is finalizing; see osctl update status"],
    [
      "nowhere to go",
      start({ previous: undefined } as unknown as BootFacts).agent,
      "rollback",
      "there is no older deployment to go back to",
    ],
    ["idle", idle().agent, "now", undefined],
    [
      "not well",
      start().on(RED).agent,
      "check",
      "this machine is not well: fleetd: silent; osctl update now looks for an update all the same",
    ],
    ["not well, but ordered to", start().on(RED).agent, "now", undefined],
  ])("%s: refused or not", (_title, agent, name, want) => expect(whyNot(agent, name)).toBe(want));
});
