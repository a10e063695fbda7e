import type { Target } from "../choose.ts";
import { type Attempt, EMPTY_MEMORY, type Memory, withAttempt } from "../memory.ts";
import type { Agent, BootFacts, Effect, Moment, Policy, Step } from "./model.ts";
import { go, markedGood, settleRollback, takeLock, verify } from "./moves.ts";

/** Reboots into a version that never ran before it is given up even though the boot loader says nothing of it. */
const REBOOTS_MAX = 3;

/** What the state file said. */
export type Remembered = { readonly memory: Memory } | { readonly unreadable: string };

/**
 * The first step of an agent: what it remembers against what really runs. Every crash and every reboot, wanted or not,
 * ends here.
 */
export function startAgent(policy: Policy, boot: BootFacts, remembered: Remembered, moment: Moment): Step {
  const base = { policy, boot, op: 0, isForced: false, phase: { state: "starting" }, check: { failures: 0 } } as const;
  if ("unreadable" in remembered) {
    const agent: Agent = { ...base, memory: EMPTY_MEMORY, held: remembered.unreadable };
    return boot.isTrial ? verify(agent, withAttempt(agent.memory, adopted(boot, moment))) : checkSelf(agent);
  }
  const agent: Agent = { ...base, memory: remembered.memory };
  const { attempt } = agent.memory;
  return attempt === undefined ? withoutAttempt(agent, moment) : withOpenAttempt(agent, attempt, moment);
}

/** Is this machine well? If so a lock that it may still hold from an old life is given back; as long as not, it is kept. */
export function checkSelf(agent: Agent, memory: Memory = agent.memory): Step {
  const gate: Effect = { do: "run-gate", deadlineMs: agent.policy.gateDeadlineMs, isTrial: false };
  return go(agent, { state: "starting" }, [{ do: "resume-lock" }, gate], memory);
}

function withoutAttempt(agent: Agent, moment: Moment): Step {
  const { boot, memory } = agent;
  // Somebody else wrote the trial, or the memory is gone with /var: it is checked like any other.
  if (boot.isTrial) return verify(agent, withAttempt(memory, adopted(boot, moment)));
  const gone = boot.rolledBack;
  if (gone !== undefined && !memory.denied.some((d) => d.commit === gone.commit)) {
    const attempt = { ...adopted(boot, moment), target: plain(gone), from: plain(boot.booted), reason: gone.reason };
    return settleRollback(agent, attempt, moment);
  }
  return checkSelf(agent);
}

function withOpenAttempt(agent: Agent, attempt: Attempt, moment: Moment): Step {
  const { boot, memory } = agent;
  const isSameBoot = attempt.bootId === boot.bootId;
  const isOnTarget = boot.booted.commit === attempt.target.commit;
  switch (attempt.step) {
    case "locked":
    case "armed":
      if (isOnTarget) return onTarget(agent, attempt, moment);
      // The agent died, not the machine: the hold is taken again and all of it redone.
      if (isSameBoot) return retry(agent, attempt, moment);
      return afterReboot(agent, attempt, moment);
    case "verifying":
      if (isOnTarget) return onTarget(agent, attempt, moment);
      return settleRollback(agent, { ...attempt, reason: reasonOf(boot, attempt) }, moment);
    case "failed": {
      if (!isOnTarget) return settleRollback(agent, attempt, moment);
      const reason = attempt.reason ?? "health gate";
      const effects: Effect[] = [{ do: "resume-lock" }, { do: "go-back", reason }];
      return go(agent, { state: "verifying", step: "returning", failures: 0 }, effects);
    }
    case "good":
      if (!isOnTarget) return checkSelf(agent, withAttempt(memory, undefined));
      return go(agent, { state: "good", failures: 0 }, [{ do: "release-lock" }]);
    case "rolled-back":
      // An operator may have chosen the denied one in the boot menu; it is not for the agent to fight that.
      if (isOnTarget) return checkSelf(agent, withAttempt(memory, undefined));
      return settleRollback(agent, attempt, moment);
  }
}

/** The new version runs. What was marked good before the agent died is not judged a second time. */
function onTarget(agent: Agent, attempt: Attempt, moment: Moment): Step {
  const { boot, memory } = agent;
  if (boot.isTrial) return verify(agent, at(memory, attempt, "verifying", boot));
  return markedGood({ ...agent, memory: at(memory, attempt, "verifying", boot) }, moment);
}

/** The machine has rebooted and is still, or again, on the old version. */
function afterReboot(agent: Agent, attempt: Attempt, moment: Moment): Step {
  const { boot } = agent;
  if (attempt.kind === "rollback") return checkSelf(agent, withAttempt(agent.memory, undefined));
  if (boot.rolledBack?.commit === attempt.target.commit) {
    return settleRollback(agent, { ...attempt, reason: boot.rolledBack.reason }, moment);
  }
  if (boot.armed?.commit === attempt.target.commit) {
    if (attempt.reboots < REBOOTS_MAX) return retry(agent, attempt, moment);
    const reason = `the boot loader did not start it in ${attempt.reboots} reboots`;
    return settleRollback(agent, { ...attempt, reason }, moment);
  }
  // Power was lost before the boot entry was written: nothing has happened yet, and the next check finds it again.
  if (attempt.step === "locked") return checkSelf(agent, withAttempt(agent.memory, undefined));
  return settleRollback(agent, { ...attempt, reason: reasonOf(boot, attempt) }, moment);
}

function retry(agent: Agent, { kind, target, deployment }: Attempt, moment: Moment): Step {
  return takeLock(agent, { kind, target, deployment, failures: 0 }, moment);
}

function reasonOf(boot: BootFacts, attempt: Attempt): string {
  if (boot.rolledBack?.commit === attempt.target.commit) return boot.rolledBack.reason;
  return attempt.reason ?? (attempt.step === "verifying" ? "left while it was being checked" : "it never came up");
}

function at(memory: Memory, attempt: Attempt, step: Attempt["step"], { bootId }: BootFacts): Memory {
  if (attempt.step === step && attempt.bootId === bootId) return memory;
  return withAttempt(memory, { ...attempt, step, bootId });
}

function adopted(boot: BootFacts, moment: Moment): Attempt {
  return {
    kind: "update",
    target: plain(boot.booted),
    from: plain(boot.previous ?? boot.booted),
    deployment: boot.booted.deployment,
    step: "verifying",
    bootId: boot.bootId,
    startedAt: moment.nowS,
    reboots: 0,
  };
}

function plain({ version, commit }: Target): Target {
  return { version, commit };
}
