import { type Choice, findDenial } from "../choose.ts";
import type { Agent, AgentEvent, Candidate, Effect, Moment, OpEvent, Step } from "./model.ts";
import {
  attemptOf,
  check,
  go,
  jittered,
  mayCheck,
  type PhaseOf,
  postpone,
  pull,
  reboot,
  rest,
  retryMs,
  stay,
  takeLock,
} from "./moves.ts";
import { rollbackEffect, stepResult } from "./results.ts";

/** One event. Pure: the same agent, event and moment give the same step. Zincati `src/update_agent/actor.rs` is the model. */
export function stepAgent(agent: Agent, event: AgentEvent, moment: Moment): Step {
  if (event.type === "tick") return tick(agent, moment);
  if (event.type === "command") return command(agent, event.command, moment);
  if (event.type === "graph" || event.type === "graph-failed") return graphAnswer(agent, event, moment);
  if (event.type === "lock-lost") return lockLost(agent, event.reason, moment);
  // The result of something that has been given up since counts no more.
  return event.op === agent.op ? stepResult(agent, event as OpEvent, moment) : stay(agent);
}

function tick(agent: Agent, moment: Moment): Step {
  const { phase } = agent;
  switch (phase.state) {
    case "starting": {
      const gate: Effect = { do: "run-gate", deadlineMs: agent.policy.gateDeadlineMs, isTrial: false };
      return go(agent, phase, [gate]);
    }
    case "idle":
    case "abandoned":
      return mayCheck(agent) ? check(agent) : stay(agent);
    case "available":
      return phase.candidate.kind === "rollback"
        ? takeLock(agent, phase.candidate, moment)
        : pull(agent, phase.candidate);
    case "staged":
      return takeLock(agent, phase.candidate, moment);
    case "waiting-for-lock":
    case "waiting-for-window":
      // Still the best there is? It may have been denied, withdrawn or overtaken while we waited.
      return {
        agent,
        effects: [
          { do: "ask-graph", isEager: agent.isForced },
          { do: "wait", ms: jittered(agent.policy.steadyMs, moment) },
        ],
      };
    case "rebooting":
      return reboot(agent, phase.why, agent.memory, attemptOf(agent).reason ?? "update");
    case "verifying":
      return verifyAgain(agent, phase);
    case "good":
      return go(agent, phase, [{ do: "release-lock" }]);
    case "rolled-back":
      return go(agent, phase, [rollbackEffect(agent, phase.step)]);
    case "checking":
    case "pulling":
    case "finalizing":
      return stay(agent);
  }
}

function verifyAgain(agent: Agent, phase: PhaseOf<"verifying">): Step {
  if (phase.step === "marking") return go(agent, phase, [{ do: "mark-good" }]);
  if (phase.step === "returning") return go(agent, phase, [{ do: "go-back", reason: attemptOf(agent).reason ?? "" }]);
  return go(agent, phase, [{ do: "run-gate", deadlineMs: agent.policy.gateDeadlineMs, isTrial: true }]);
}

/** Why an operator's command cannot be obeyed now, or undefined. */
export function whyNot(agent: Agent, name: "check" | "now" | "rollback"): string | undefined {
  const { phase, boot, memory } = agent;
  const isBusy = ![
    "starting",
    "idle",
    "available",
    "staged",
    "abandoned",
    "waiting-for-lock",
    "waiting-for-window",
  ].includes(phase.state);
  if (isBusy) return `the agent is ${phase.state}; see osctl update status`;
  if (name === "now") return undefined;
  if (agent.held !== undefined) return `${agent.held}; osctl update now starts afresh`;
  if (name === "check") {
    const why = phase.state === "starting" && (phase.note ?? "it is not known yet whether this machine is well");
    return why === false ? undefined : `${why}; osctl update now looks for an update all the same`;
  }
  if (boot.previous === undefined) return "there is no older deployment to go back to";
  const denial = findDenial(memory.denied, boot.previous);
  return denial === undefined ? undefined : `${boot.previous.version} is denied: ${denial.reason}`;
}

function command(agent: Agent, name: "check" | "now" | "rollback", moment: Moment): Step {
  if (whyNot(agent, name) !== undefined) return stay(agent);
  const { phase, boot } = agent;
  const isWaiting = phase.state === "waiting-for-lock" || phase.state === "waiting-for-window";
  // From `starting` the way does not lead past the release of an old lock any more.
  const cancel: Effect[] = isWaiting || phase.state === "starting" ? [{ do: "cancel-lock" }] : [];
  if (name === "check") {
    if (isWaiting || phase.state === "staged")
      return { agent, effects: [{ do: "ask-graph", isEager: agent.isForced }] };
    return check(agent);
  }
  if (name === "now") {
    const { held: _, ...rest } = agent;
    const forced: Agent = { ...rest, isForced: true };
    const step = isWaiting || phase.state === "staged" ? takeLock(forced, phase.candidate, moment) : check(forced);
    return { ...step, effects: [...cancel, ...step.effects] };
  }
  const previous = boot.previous as NonNullable<typeof boot.previous>;
  const { version, commit, deployment } = previous;
  const candidate: Candidate = { kind: "rollback", target: { version, commit }, deployment, failures: 0 };
  const step = takeLock({ ...agent, isForced: true }, candidate, moment);
  return { ...step, effects: [...cancel, ...step.effects] };
}

function graphAnswer(
  asked: Agent,
  event: Extract<AgentEvent, { type: "graph" | "graph-failed" }>,
  moment: Moment,
): Step {
  const isFailed = event.type === "graph-failed";
  const agent: Agent = {
    ...asked,
    check: isFailed
      ? { ...asked.check, failures: asked.check.failures + 1, error: event.reason }
      : { lastAt: moment.nowS, failures: 0 },
  };
  const { phase, policy } = agent;
  if (phase.state === "checking") {
    if (isFailed) {
      const ms = Math.min(policy.steadyMs, retryMs(policy, agent.check.failures, moment));
      return rest(agent, moment, `the update server cannot be used: ${event.reason}`, ms);
    }
    const { choice } = event;
    if (choice.kind !== "update") return rest(agent, moment, noteOfChoice(choice));
    return pull(agent, { kind: "update", target: choice.target, failures: 0 });
  }
  const isPending =
    phase.state === "waiting-for-lock" || phase.state === "waiting-for-window" || phase.state === "staged";
  if (isFailed || !isPending || phase.candidate.kind === "rollback") return stay(agent);
  const { choice } = event;
  if (choice.kind === "update" && choice.target.commit === phase.candidate.target.commit) return stay(agent);
  const cancel: Effect = { do: "cancel-lock" };
  const next: Step =
    choice.kind === "update"
      ? pull(agent, { kind: "update", target: choice.target, failures: 0 })
      : rest(agent, moment, noteOfChoice(choice));
  return { ...next, effects: [cancel, ...next.effects] };
}

function noteOfChoice(choice: Exclude<Choice, { kind: "update" }>): string | undefined {
  switch (choice.kind) {
    case "none":
      return undefined;
    case "denied":
      return choice.denied.map((d) => `${d.version} is denied (${d.machine}: ${d.reason})`).join("; ");
    case "downgrade":
      return `only the older ${choice.version} is offered, and updates.allow_downgrade is not set`;
    case "deadend":
      return `this version is a dead end: ${choice.reason}`;
    case "unknown":
      return "the update server does not know the version that runs here";
  }
}

function lockLost(agent: Agent, reason: string, moment: Moment): Step {
  const { phase, policy } = agent;
  // Later the hold protects nothing that could still be stopped; before, there is none.
  if (phase.state !== "finalizing") return stay(agent);
  return postpone(agent, phase.candidate, `the reboot lock was lost: ${reason}`, retryMs(policy, 1, moment), "held");
}
