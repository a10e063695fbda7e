import type { Choice, Denial, Target } from "../choose.ts";
import type { Memory } from "../memory.ts";

/** What runs and what the boot loader has decided, as found when the agent started. */
export interface BootFacts {
  /** Differs between two boots: `/proc/sys/kernel/random/boot_id`. */
  readonly bootId: string;
  readonly booted: Deployed;
  /** What `rollback` would boot. */
  readonly previous?: Deployed;
  /** The booted entry is on trial: unless it is marked good, the boot loader will give it up. */
  readonly isTrial: boolean;
  /** On trial, has tries left, and is not what runs. */
  readonly armed?: Target;
  /** The boot loader gave this one up; the reason comes from the boot log. */
  readonly rolledBack?: Target & { readonly reason: string };
}

/** A target with its deployment. */
export interface Deployed extends Target {
  readonly deployment: string;
}

/** A change of version that is wanted but not yet begun: forgotten when the agent ends, since all of it can be redone. */
export interface Candidate {
  readonly kind: "update" | "rollback";
  readonly target: Target;
  /** Undefined until it is on disk. */
  readonly deployment?: string;
  /** Times that something went wrong on the way. */
  readonly failures: number;
}

/** Where an agent is. `note` says why it is there, in words for an operator. */
export type Phase =
  /** The steady check of a machine that updates nothing: is it well? Then it needs no lock. */
  | { readonly state: "starting"; readonly note?: string }
  | { readonly state: "idle"; readonly note?: string }
  | { readonly state: "checking" }
  /** Something failed on the way to `staged`; it is tried again later. */
  | { readonly state: "available"; readonly candidate: Candidate; readonly note: string }
  | { readonly state: "pulling"; readonly candidate: Candidate; readonly step: "download" | "deploy" }
  /** All is on disk, but something forbids going on now. */
  | { readonly state: "staged"; readonly candidate: Candidate; readonly note: string }
  | { readonly state: "waiting-for-lock" | "waiting-for-window"; readonly candidate: Candidate; readonly note?: string }
  /** The lock is held. `clearing`: is the version still wanted? `preflight`: is this machine well? `finishing`: no way but forward. */
  | {
      readonly state: "finalizing";
      readonly candidate: Candidate;
      readonly step: "clearing" | "preflight" | "finishing";
    }
  | { readonly state: "rebooting"; readonly why: "update" | "failed" }
  | {
      readonly state: "verifying";
      readonly step: "gate" | "marking" | "returning";
      readonly failures: number;
      readonly note?: string;
    }
  /** Marked good; the lock is being given back. */
  | { readonly state: "good"; readonly failures: number; readonly note?: string }
  /** Back on the old version. `sharing`: the others must know; `gate`: is this machine well? `releasing`: then the lock goes back. */
  | {
      readonly state: "rolled-back";
      readonly step: "sharing" | "gate" | "releasing";
      readonly failures: number;
      readonly note?: string;
    }
  | { readonly state: "abandoned"; readonly candidate: Candidate; readonly note: string };

export type StateName = Phase["state"];

/** The whole of an agent. Only `memory` outlives it. */
export interface Agent {
  readonly policy: Policy;
  readonly boot: BootFacts;
  readonly memory: Memory;
  readonly phase: Phase;
  /** Counts changes of phase, so that a late result of an abandoned effect can be told from a fresh one. */
  readonly op: number;
  /** Why nothing is done without being told: the state file cannot be trusted. Then nothing is saved either. */
  readonly held?: string;
  /** An operator said `now`: neither window, rollout nor preflight delay it. */
  readonly isForced: boolean;
  readonly check: CheckFacts;
}

/** Of the last check; not kept over a restart. */
export interface CheckFacts {
  /** Seconds since 1970; undefined before the first. */
  readonly lastAt?: number;
  readonly failures: number;
  readonly error?: string;
}

/** What the settings say. Times in milliseconds. */
export interface Policy {
  readonly isEnabled: boolean;
  /** This machine's name in denials. */
  readonly machine: string;
  /** Between checks of a machine that is up to date. */
  readonly steadyMs: number;
  /** First pause after a failure; doubles up to `retryMaxMs`. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /** Failures on the way to `staged` before a release is left alone for `abandonMs`. Zincati: 12. */
  readonly failuresMax: number;
  readonly abandonMs: number;
  readonly gateDeadlineMs: number;
  readonly preflightDeadlineMs: number;
  /** The strategy reboots only with a lock: without the others' answer nothing goes forward. */
  readonly needsLock: boolean;
}

/** What is done in the world. Each answers with one event that carries the `op` it was started under, unless said otherwise. */
export type Effect =
  /** One alarm: a later one replaces an earlier. */
  | { readonly do: "wait"; readonly ms: number }
  /** `isEager`: ask as the least wary of machines. */
  | { readonly do: "ask-graph"; readonly isEager: boolean }
  | { readonly do: "pull"; readonly target: Target }
  | { readonly do: "stage"; readonly target: Target }
  | { readonly do: "take-lock"; readonly ignoreWindow: boolean; readonly target: Target }
  /** Stops waiting; what was got in the meantime is given back. No event. */
  | { readonly do: "cancel-lock" }
  /** Takes up the hold from before the boot. No event. */
  | { readonly do: "resume-lock" }
  | { readonly do: "release-lock" }
  /** May the target still be tried, by the word of all machines? */
  | { readonly do: "clear"; readonly target: Target }
  | { readonly do: "run-gate"; readonly deadlineMs: number; readonly isTrial: boolean }
  /** /etc is merged, the boot entry written: from here on the next boot is the target's. */
  | { readonly do: "finalize"; readonly deployment: string; readonly target: Target }
  /** The next boot is the previous entry's; the reason goes to the boot log. */
  | { readonly do: "go-back"; readonly reason: string }
  /** `needsLock`: only while the lock is held at that very moment. */
  | { readonly do: "reboot"; readonly needsLock: boolean; readonly reason: string }
  | { readonly do: "mark-good" }
  | { readonly do: "share-denial"; readonly denial: Denial }
  /** Removes what no deployment needs. No event. */
  | { readonly do: "clean-up" };

/** What happened. */
export type AgentEvent =
  | { readonly type: "tick" }
  | { readonly type: "command"; readonly command: "check" | "now" | "rollback" }
  | { readonly type: "graph"; readonly choice: Choice }
  | { readonly type: "graph-failed"; readonly reason: string }
  | { readonly type: "lock-lost"; readonly reason: string }
  | ({ readonly op: number } & OpEvent);

/** Results of effects. */
export type OpEvent =
  | { readonly type: "pulled" }
  | { readonly type: "pull-failed"; readonly reason: string; readonly isFinal: boolean }
  | { readonly type: "staged"; readonly deployment: string }
  | { readonly type: "stage-failed"; readonly reason: string; readonly isFinal: boolean }
  | { readonly type: "lock-waiting"; readonly what: "lock" | "window"; readonly note?: string }
  | { readonly type: "locked" }
  | { readonly type: "lock-failed"; readonly reason: string }
  | { readonly type: "cleared"; readonly verdict: Clearance }
  | { readonly type: "gate"; readonly isGreen: boolean; readonly reason: string }
  | { readonly type: "finalized" }
  | { readonly type: "finalize-failed"; readonly reason: string; readonly isFinal: boolean }
  | { readonly type: "went-back" }
  | { readonly type: "go-back-failed"; readonly reason: string }
  | { readonly type: "reboot-failed"; readonly reason: string }
  | { readonly type: "marked-good" }
  | { readonly type: "mark-good-failed"; readonly reason: string }
  | { readonly type: "shared" }
  | { readonly type: "share-failed"; readonly reason: string }
  | { readonly type: "released" }
  | { readonly type: "release-failed"; readonly reason: string };

/** The others' word on a target. */
export type Clearance =
  | { readonly kind: "clear" }
  | { readonly kind: "denied"; readonly denial: Denial }
  /** They could not be asked. */
  | { readonly kind: "unknown"; readonly reason: string };

/** Time and chance, drawn by the driver. */
export interface Moment {
  /** Seconds since 1970, whole. */
  readonly nowS: number;
  /** In [0, 1). */
  readonly roll: number;
}

/** An agent after an event, and what to do next; first the memory is saved, if it has changed. */
export interface Step {
  readonly agent: Agent;
  readonly effects: readonly Effect[];
}
