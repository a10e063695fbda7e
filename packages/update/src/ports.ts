import type { BootFacts } from "./core/agent/model.ts";
import type { Remembered } from "./core/agent/start.ts";
import type { Denial, Target } from "./core/choose.ts";
import type { Graph } from "./core/graph-node.ts";
import type { Memory } from "./core/memory.ts";

/** What a machine says of itself when it asks for a graph. Upstream's parameters. */
export interface GraphQuery {
  readonly basearch: string;
  readonly stream: string;
  readonly nodeUuid: string;
  readonly osVersion: string;
  readonly osChecksum: string;
  readonly group: string;
  /** 0 to 1; undefined: the server draws it. */
  readonly rolloutWariness: number | undefined;
}

/** Where graphs come from. */
export interface GraphClient {
  /** @throws ServerUnreachableError, ServerAnswerError */
  fetch(query: GraphQuery, signal: AbortSignal): Promise<Graph>;
}

/** How far a pull is. */
export interface PullProgress {
  readonly objectsDone: number;
  readonly objectsTotal: number;
  readonly bytesReceived: number;
}

/** Brings a commit into the machine's repository. */
export interface Puller {
  /**
   * Resumes what an earlier pull left. Resolves when every object is there and verified, the commit is signed by a
   * trusted key and says itself that it is `target.version` (so that a server cannot pass an old commit as a new one).
   *
   * @throws PullError
   */
  pull(target: Target, options: { signal: AbortSignal; onProgress: (progress: PullProgress) => void }): Promise<void>;
}

/** Deployments of the machine. */
export interface Deployer {
  /** Checks the commit out beside what runs; nothing bootable changes. Idempotent. Returns the deployment's id. */
  stage(target: Target, signal: AbortSignal): Promise<string>;
  /**
   * Merges /etc as it is now from the booted deployment. Returns the deployment that may be booted: another one than was
   * staged when that was finished once before, with an older /etc.
   */
  finalize(deployment: string): Promise<string>;
  /** Removes deployments and objects that nothing needs. */
  cleanUp(): Promise<void>;
}

/** The boot loader's decision. */
export interface BootPort {
  facts(): Promise<BootFacts>;
  /** The next boots try this deployment, until marked good or out of tries. Idempotent. One atomic switch. */
  arm(deployment: string): Promise<void>;
  /** What is booted stays. Idempotent. */
  markGood(): Promise<void>;
  /** The next boot is the previous entry's; `reason` is left where the next boot finds it. Idempotent. */
  goBack(reason: string): Promise<void>;
  /** Leaves a mark in the boot log of how far this boot has come. Never fails a boot: errors are the caller's to ignore. */
  recordStage(stage: "userspace" | "gate" | "good", detail: string): Promise<void>;
}

/** What an acquisition waits for. */
export interface LockWait {
  readonly what: "lock" | "window";
  readonly note?: string;
}

/** The reboot lock of this machine, by whatever strategy; without one it is always free. */
export interface RebootLock {
  /**
   * Resolves when this machine holds a slot and its window is open. Recursive: a machine that holds it has it.
   * Rejects when aborted (then nothing is held) or when it can never be had.
   */
  acquire(options: {
    readonly ignoreWindow: boolean;
    /** What the machine reboots into: if it does not come back, this version is denied to all. */
    readonly version: string;
    readonly signal: AbortSignal;
    readonly onWait: (wait: LockWait) => void;
  }): Promise<void>;
  /** Takes up and keeps alive what this machine held before a reboot. False when it holds nothing. */
  resume(signal: AbortSignal): Promise<boolean>;
  /** Gives it back; idempotent, and also gives back what an earlier life of this machine held. */
  release(): Promise<void>;
  /** Asked right before the machine goes down: rejects when it may not, or nobody knows. Renews the hold. */
  confirm(signal: AbortSignal): Promise<void>;
  /** Called when the hold is lost without `release`. */
  onLost(listener: (reason: string) => void): void;
}

/**
 * What machines tell each other of a rollout. A machine that takes the lock for a version and does not come back is
 * spoken for by the others: locksmith denies that version when it gives the slot on.
 */
export interface RolloutBoard {
  /** Every denial known, linearizable: what somebody denied before giving the lock back, its next holder sees. */
  denials(signal: AbortSignal): Promise<readonly Denial[]>;
  /** Idempotent. On disk of a majority when it resolves. */
  deny(denial: Denial): Promise<void>;
}

/** How one check ended. */
export interface CheckResult {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "timed-out" | "skipped";
  /** A wanted check may fail. */
  readonly isRequired: boolean;
  readonly tookMs: number;
  /** Why, or the last lines that it printed. */
  readonly detail: string;
}

/** How all of them ended. */
export interface GateReport {
  readonly isGreen: boolean;
  /** `fleetd: …; systemd: …` of the required ones that failed; empty when green. */
  readonly reason: string;
  readonly results: readonly CheckResult[];
}

/** Says whether the machine is well. */
export interface HealthGate {
  /** Required checks are repeated until they pass or the deadline is over. Never rejects but when aborted. */
  run(options: {
    readonly deadlineMs: number;
    readonly isTrial: boolean;
    readonly signal: AbortSignal;
  }): Promise<GateReport>;
}

/** Ends this boot. */
export interface Rebooter {
  /** Resolves when the reboot has been accepted. @throws UpdatePortError */
  reboot(reason: string): Promise<void>;
}

/** Where an agent keeps what it must not forget. */
export interface StateStore {
  /** Never throws for what the file holds: that is `unreadable`. */
  load(): Promise<Remembered>;
  /** On disk when it resolves. @throws StateFileError */
  save(memory: Memory): Promise<void>;
}
