import { assert } from "@keelson/types";
import type { Denial, Target } from "../choose.ts";
import {
  type Attempt,
  type AttemptStep,
  addDenial,
  addHistory,
  type HistoryEntry,
  type Memory,
  withAttempt,
} from "../memory.ts";
import type { Agent, Candidate, Effect, Moment, Phase, Policy, Step } from "./model.ts";

/** After a denial or a change of version the next check is soon: there may be a better one already. */
export const SOON_MS = 1_000;
const JITTER = 0.1;
/** A reboot that has not happened after so long is asked for again. */
const REBOOT_AGAIN_MS = 10 * 60_000;

export type PhaseOf<S extends Phase["state"]> = Extract<Phase, { state: S }>;

/** Changes phase, and with it `op`: results of older effects no longer count. */
export function go(agent: Agent, phase: Phase, effects: readonly Effect[], memory: Memory = agent.memory): Step {
  return { agent: { ...agent, phase, memory, op: agent.op + 1 }, effects };
}

/** Nothing to do. */
export function stay(agent: Agent): Step {
  return { agent, effects: [] };
}

/** Up to 10 % longer, so that machines do not all ask at once. Zincati does the same. */
export function jittered(ms: number, moment: Moment): number {
  return Math.round(ms * (1 + JITTER * moment.roll));
}

/** The pause after the n-th failure (from 1). */
export function retryMs(policy: Policy, failures: number, moment: Moment): number {
  return jittered(Math.min(policy.retryMaxMs, policy.retryMinMs * 2 ** Math.min(30, failures - 1)), moment);
}

/** Rests until the next check. */
export function rest(agent: Agent, moment: Moment, note?: string, ms: number = agent.policy.steadyMs): Step {
  const wait: Effect[] = mayCheck(agent) ? [{ do: "wait", ms: jittered(ms, moment) }] : [];
  return go({ ...agent, isForced: false }, { state: "idle", ...noteOf(note) }, wait);
}

export function mayCheck(agent: Agent): boolean {
  return agent.policy.isEnabled && agent.held === undefined;
}

/** Asks what there is to update to. */
export function check(agent: Agent): Step {
  return go(agent, { state: "checking" }, [{ do: "ask-graph", isEager: agent.isForced }]);
}

export function pull(agent: Agent, candidate: Candidate): Step {
  const { target } = candidate;
  return go(agent, { state: "pulling", candidate, step: "download" }, [{ do: "pull", target }]);
}

/** Waits for window and slot; in the meantime the alarm asks the graph whether the target is still the best. */
export function takeLock(agent: Agent, candidate: Candidate, moment: Moment): Step {
  return go(agent, { state: "waiting-for-lock", candidate }, [
    { do: "take-lock", ignoreWindow: agent.isForced, target: candidate.target },
    { do: "wait", ms: jittered(agent.policy.steadyMs, moment) },
  ]);
}

/** The lock goes back, or was never got; the candidate waits. */
export function postpone(agent: Agent, candidate: Candidate, note: string, ms: number, held: "held" | "free"): Step {
  const release: Effect[] = held === "held" ? [{ do: "release-lock" }] : [];
  const memory = agent.memory.attempt === undefined ? agent.memory : withAttempt(agent.memory, undefined);
  return go(agent, { state: "staged", candidate, note }, [...release, { do: "wait", ms }], memory);
}

/** One more failure on the way: tried again after a growing pause, in the end left alone. */
export function fail(
  agent: Agent,
  candidate: Candidate,
  problem: { reason: string; isFinal: boolean },
  moment: Moment,
  release: readonly Effect[] = [],
): Step {
  const { policy } = agent;
  const failed = { ...candidate, failures: candidate.failures + 1 };
  const memory = agent.memory.attempt === undefined ? agent.memory : withAttempt(agent.memory, undefined);
  if (!problem.isFinal && failed.failures < policy.failuresMax) {
    const wait: Effect = { do: "wait", ms: retryMs(policy, failed.failures, moment) };
    return go(agent, { state: "available", candidate: failed, note: problem.reason }, [...release, wait], memory);
  }
  const entry = historyOf(agent, "abandoned", candidate.target, moment, problem.reason);
  const wait: Effect = { do: "wait", ms: jittered(policy.abandonMs, moment) };
  return go(
    { ...agent, isForced: false },
    { state: "abandoned", candidate: failed, note: problem.reason },
    [...release, wait],
    addHistory(memory, entry),
  );
}

/** The attempt of a phase that cannot be without one. */
export function attemptOf(agent: Agent): Attempt {
  const { attempt } = agent.memory;
  assert(attempt !== undefined, `${agent.phase.state} without an attempt`);
  return attempt;
}

/** The attempt at another step, put down under this boot. */
export function atStep(agent: Agent, step: AttemptStep, changes: Partial<Attempt> = {}): Memory {
  return withAttempt(agent.memory, { ...attemptOf(agent), ...changes, step, bootId: agent.boot.bootId });
}

/** Checks the new version. What it will take back, if it must, is on disk by then. */
export function verify(agent: Agent, memory: Memory): Step {
  const gate: Effect = { do: "run-gate", deadlineMs: agent.policy.gateDeadlineMs, isTrial: true };
  return go(agent, { state: "verifying", step: "gate", failures: 0 }, [{ do: "resume-lock" }, gate], memory);
}

/** The new version has passed: written down before the lock is given back. */
export function markedGood(agent: Agent, moment: Moment): Step {
  const { kind, target, from } = attemptOf(agent);
  const entry = historyOf(agent, kind === "update" ? "updated" : "reverted", target, moment);
  let memory = addHistory(atStep(agent, "good"), entry);
  if (kind === "rollback") {
    // For this machine only: whether the others should leave it as well is for its operator to say.
    const { machine } = agent.policy;
    memory = addDenial(memory, { ...from, reason: "rolled back by an operator", machine, at: moment.nowS });
  }
  return go(agent, { state: "good", failures: 0 }, [{ do: "release-lock" }], memory);
}

/** Back on the old version: denied here first, then everywhere, and only then is anything given back. */
export function settleRollback(agent: Agent, attempt: Attempt, moment: Moment): Step {
  const reason = attempt.reason ?? "it came back on the old version and nobody recorded why";
  const denial = { ...attempt.target, reason, machine: agent.policy.machine, at: moment.nowS };
  let memory = withAttempt(agent.memory, { ...attempt, reason, step: "rolled-back", bootId: agent.boot.bootId });
  if (attempt.step !== "rolled-back") {
    const seconds = Math.max(0, moment.nowS - attempt.startedAt);
    const { target: to, from } = attempt;
    memory = addHistory(memory, { at: moment.nowS, what: "rolled-back", from, to, seconds, reason });
  }
  memory = addDenial(memory, denial);
  const known = memory.denied.find((d) => d.version === denial.version && d.commit === denial.commit) ?? denial;
  const effects: Effect[] = [{ do: "resume-lock" }, { do: "share-denial", denial: known }];
  return go(agent, { state: "rolled-back", step: "sharing", failures: 0 }, effects, memory);
}

export function reboot(agent: Agent, why: "update" | "failed", memory: Memory, reason: string): Step {
  const again: Effect = { do: "wait", ms: REBOOT_AGAIN_MS };
  const effect: Effect = { do: "reboot", needsLock: why === "update", reason };
  return go(agent, { state: "rebooting", why }, [effect, again], memory);
}

export function historyOf(
  agent: Agent,
  what: HistoryEntry["what"],
  to: Target,
  moment: Moment,
  reason?: string,
): HistoryEntry {
  const { attempt } = agent.memory;
  const { version, commit } = agent.boot.booted;
  return {
    at: moment.nowS,
    what,
    from: attempt?.from ?? { version, commit },
    to: { version: to.version, commit: to.commit },
    seconds: attempt === undefined ? 0 : Math.max(0, moment.nowS - attempt.startedAt),
    ...(reason === undefined ? {} : { reason }),
  };
}

export function noteOf(note: string | undefined): { note?: string } {
  return note === undefined ? {} : { note };
}

/** The denial of the attempt's target, as this machine has put it down. */
export function denialOf(agent: Agent): Denial {
  const { target, reason = "", startedAt } = attemptOf(agent);
  const known = agent.memory.denied.find((d) => d.version === target.version && d.commit === target.commit);
  return known ?? { ...target, reason, machine: agent.policy.machine, at: startedAt };
}
