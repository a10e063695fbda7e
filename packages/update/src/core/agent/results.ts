import { addDenial, withAttempt } from "../memory.ts";
import type { Agent, Candidate, Clearance, Effect, Moment, OpEvent, Phase, Step } from "./model.ts";
import {
  atStep,
  attemptOf,
  check,
  denialOf,
  fail,
  go,
  jittered,
  markedGood,
  noteOf,
  type PhaseOf,
  postpone,
  reboot,
  rest,
  retryMs,
  SOON_MS,
  stay,
  takeLock,
} from "./moves.ts";

/** Failed ways back before the boot loader's own counting is relied on. */
const BACK_TRIES = 3;
/** Retries of a machine that is not well are this much slower than the first of others, as an exponent of two. */
const UNWELL = 4;

type Handlers = { readonly [T in OpEvent["type"]]?: (event: Extract<OpEvent, { type: T }>) => Step };

/** What the result of an effect means in the phase that asked for it. Others are ignored. */
export function stepResult(agent: Agent, event: OpEvent, moment: Moment): Step {
  const handlers = handlersOf(agent, moment);
  const handler = handlers[event.type] as ((event: OpEvent) => Step) | undefined;
  return handler?.(event) ?? stay(agent);
}

function handlersOf(agent: Agent, moment: Moment): Handlers {
  const { phase } = agent;
  switch (phase.state) {
    case "starting":
      return starting(agent, moment);
    case "pulling":
      return pulling(agent, phase, moment);
    case "waiting-for-lock":
    case "waiting-for-window":
      return waiting(agent, phase, moment);
    case "finalizing":
      return finalizing(agent, phase, moment);
    case "rebooting":
      return rebooting(agent, phase, moment);
    case "verifying":
      return verifying(agent, phase, moment);
    case "good":
      return good(agent, phase, moment);
    case "rolled-back":
      return rolledBack(agent, phase, moment);
    case "idle":
    case "checking":
    case "available":
    case "staged":
    case "abandoned":
      return {};
  }
}

function starting(agent: Agent, moment: Moment): Handlers {
  const { policy } = agent;
  const onwards = (): Step => {
    if (agent.held !== undefined) return rest(agent, moment, agent.held);
    if (!policy.isEnabled) return rest(agent, moment, "updates are disabled");
    return check(agent);
  };
  return {
    gate: ({ isGreen, reason }) => {
      if (isGreen) return go(agent, { state: "starting" }, [{ do: "release-lock" }]);
      const note = `this machine is not well: ${reason}`;
      return go(agent, { state: "starting", note }, [{ do: "wait", ms: retryMs(policy, UNWELL, moment) }]);
    },
    released: onwards,
    // There may be nobody to give it back to; that must not keep this machine from looking for updates.
    "release-failed": onwards,
  };
}

function pulling(agent: Agent, phase: PhaseOf<"pulling">, moment: Moment): Handlers {
  const { candidate } = phase;
  const failed = (event: { reason: string; isFinal: boolean }) => fail(agent, candidate, event, moment);
  return {
    pulled: () => go(agent, { ...phase, step: "deploy" }, [{ do: "stage", target: candidate.target }]),
    staged: ({ deployment }) => takeLock(agent, { ...candidate, deployment }, moment),
    "pull-failed": failed,
    "stage-failed": failed,
  };
}

function waiting(agent: Agent, phase: PhaseOf<"waiting-for-lock" | "waiting-for-window">, moment: Moment): Handlers {
  const { candidate } = phase;
  return {
    // The same effect is still under way, so `op` stays.
    "lock-waiting": ({ what, note }) =>
      stay({ ...agent, phase: { state: `waiting-for-${what}`, candidate, ...noteOf(note) } }),
    "lock-failed": ({ reason }) => postpone(agent, candidate, reason, retryMs(agent.policy, 1, moment), "free"),
    locked: () => {
      if (candidate.kind === "rollback") return begin(agent, candidate, moment);
      const clear: Effect = { do: "clear", target: candidate.target };
      return go(agent, { state: "finalizing", candidate, step: "clearing" }, [clear]);
    },
  };
}

function finalizing(agent: Agent, phase: PhaseOf<"finalizing">, moment: Moment): Handlers {
  const { candidate } = phase;
  const arm = (): Step => {
    const memory = atStep(agent, "armed", { reboots: attemptOf(agent).reboots + 1 });
    return reboot(agent, "update", memory, `${candidate.kind} to ${candidate.target.version}`);
  };
  const failed = (event: { reason: string; isFinal: boolean }) =>
    fail(agent, candidate, event, moment, [{ do: "release-lock" }]);
  return {
    cleared: ({ verdict }) => cleared(agent, candidate, verdict, moment),
    gate: ({ isGreen, reason }) => {
      if (isGreen) return begin(agent, candidate, moment);
      // A machine that is ill already would fail the checks afterwards, and blame the new version for it.
      const note = `this machine is not well: ${reason}`;
      return postpone(agent, candidate, note, jittered(agent.policy.steadyMs, moment), "held");
    },
    finalized: arm,
    "went-back": arm,
    "finalize-failed": failed,
    "go-back-failed": ({ reason }) => failed({ reason, isFinal: false }),
  };
}

function cleared(agent: Agent, candidate: Candidate, verdict: Clearance, moment: Moment): Step {
  const { policy } = agent;
  switch (verdict.kind) {
    case "denied": {
      const { denial } = verdict;
      const note = `${denial.version} is denied (${denial.machine}: ${denial.reason})`;
      const memory = withAttempt(addDenial(agent.memory, denial), undefined);
      const next = rest({ ...agent, memory }, moment, note, SOON_MS);
      return { ...next, effects: [{ do: "release-lock" }, ...next.effects] };
    }
    case "unknown":
      if (policy.needsLock) {
        const note = `the other machines cannot be asked: ${verdict.reason}`;
        return postpone(agent, candidate, note, retryMs(policy, 2, moment), "held");
      }
      break;
    case "clear":
      break;
  }
  if (agent.isForced) return begin(agent, candidate, moment);
  const gate: Effect = { do: "run-gate", deadlineMs: policy.preflightDeadlineMs, isTrial: false };
  return go(agent, { state: "finalizing", candidate, step: "preflight" }, [gate]);
}

/** From here on the disk says that an attempt is under way. */
function begin(agent: Agent, candidate: Candidate, moment: Moment): Step {
  const { kind, target, deployment = "" } = candidate;
  const { version, commit } = agent.boot.booted;
  const earlier = agent.memory.attempt;
  const isSame = earlier?.kind === kind && earlier.target.commit === target.commit;
  const memory = withAttempt(agent.memory, {
    kind,
    target,
    from: { version, commit },
    deployment,
    step: "locked",
    bootId: agent.boot.bootId,
    startedAt: isSame ? earlier.startedAt : moment.nowS,
    reboots: isSame ? earlier.reboots : 0,
  });
  const effect: Effect =
    kind === "update"
      ? { do: "finalize", deployment, target }
      : { do: "go-back", reason: "rolled back by an operator" };
  return go(agent, { state: "finalizing", candidate, step: "finishing" }, [effect], memory);
}

function rebooting(agent: Agent, phase: PhaseOf<"rebooting">, moment: Moment): Handlers {
  return {
    "reboot-failed": ({ reason }) => {
      const { kind, target, deployment, reboots } = attemptOf(agent);
      const ms = retryMs(agent.policy, 1, moment);
      // An ill machine has nowhere to go but back.
      if (phase.why === "failed") return go(agent, phase, [{ do: "wait", ms }]);
      const candidate: Candidate = { kind, target, deployment, failures: reboots };
      return postpone(agent, candidate, `could not reboot: ${reason}`, ms, "held");
    },
  };
}

function verifying(agent: Agent, phase: PhaseOf<"verifying">, moment: Moment): Handlers {
  const { policy } = agent;
  const again = (note: string): Step => {
    const failures = phase.failures + 1;
    return go(agent, { ...phase, failures, note }, [{ do: "wait", ms: retryMs(policy, failures, moment) }]);
  };
  return {
    gate: ({ isGreen, reason }) =>
      isGreen
        ? go(agent, { state: "verifying", step: "marking", failures: 0 }, [{ do: "mark-good" }])
        : gateRed(agent, reason, moment),
    "mark-good-failed": ({ reason }) => again(`the boot entry cannot be marked good: ${reason}`),
    "marked-good": () => markedGood(agent, moment),
    "went-back": () => reboot(agent, "failed", agent.memory, attemptOf(agent).reason ?? "health gate"),
    "go-back-failed": ({ reason }) =>
      // The boot loader counts the tries itself, so a plain reboot leads back as well, only later.
      phase.failures + 1 >= BACK_TRIES ? reboot(agent, "failed", agent.memory, reason) : again(reason),
  };
}

function gateRed(agent: Agent, reason: string, moment: Moment): Step {
  // Without a memory to be trusted, and after a rollback that was wanted, there is no other place to be.
  if (agent.held !== undefined || attemptOf(agent).kind === "rollback") {
    const note = `this machine is not well: ${reason}${agent.held === undefined ? "" : `; ${agent.held}`}`;
    const phase: Phase = { state: "verifying", step: "gate", failures: 0, note };
    return go(agent, phase, [{ do: "wait", ms: retryMs(agent.policy, UNWELL, moment) }]);
  }
  const text = `health gate: ${reason}`;
  const memory = atStep(agent, "failed", { reason: text });
  const phase: Phase = { state: "verifying", step: "returning", failures: 0, note: text };
  return go(agent, phase, [{ do: "go-back", reason: text }], memory);
}

function good(agent: Agent, phase: PhaseOf<"good">, moment: Moment): Handlers {
  const { policy } = agent;
  return {
    released: () => {
      const done: Agent = { ...agent, memory: withAttempt(agent.memory, undefined) };
      const next = rest(done, moment, undefined, SOON_MS);
      return { ...next, effects: [{ do: "clean-up" }, ...next.effects] };
    },
    "release-failed": ({ reason }) => {
      const failures = phase.failures + 1;
      const note = `the reboot lock cannot be given back: ${reason}`;
      return go(agent, { ...phase, failures, note }, [{ do: "wait", ms: retryMs(policy, failures, moment) }]);
    },
  };
}

function rolledBack(agent: Agent, phase: PhaseOf<"rolled-back">, moment: Moment): Handlers {
  const { policy } = agent;
  const again = (note: string): Step => {
    const failures = phase.failures + 1;
    return go(agent, { ...phase, failures, note }, [{ do: "wait", ms: retryMs(policy, failures, moment) }]);
  };
  const onwards = (step: PhaseOf<"rolled-back">["step"]): Step =>
    go(agent, { state: "rolled-back", step, failures: 0 }, [rollbackEffect(agent, step)]);
  return {
    shared: () => onwards("gate"),
    // Without a lock nobody waits for our word, and without etcd nobody can hear it.
    "share-failed": ({ reason }) =>
      policy.needsLock ? again(`the other machines cannot be told: ${reason}`) : onwards("gate"),
    gate: ({ isGreen, reason }) =>
      isGreen ? onwards("releasing") : again(`back, but this machine is not well: ${reason}`),
    "release-failed": ({ reason }) => again(`the reboot lock cannot be given back: ${reason}`),
    released: () => {
      const { target, reason = "" } = attemptOf(agent);
      const done: Agent = { ...agent, memory: withAttempt(agent.memory, undefined) };
      return rest(done, moment, `rolled back from ${target.version}: ${reason}`, SOON_MS);
    },
  };
}

/** What is next to be done at a step of `rolled-back`. */
export function rollbackEffect(agent: Agent, step: PhaseOf<"rolled-back">["step"]): Effect {
  if (step === "sharing") return { do: "share-denial", denial: denialOf(agent) };
  if (step === "releasing") return { do: "release-lock" };
  return { do: "run-gate", deadlineMs: agent.policy.gateDeadlineMs, isTrial: false };
}
