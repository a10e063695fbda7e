import { assert, type Clock, type Random, silentLogger } from "@keelson/types";
import type { BootFacts, Policy } from "../core/agent/model.ts";
import type { Target } from "../core/choose.ts";
import { EMPTY_MEMORY, encodeMemory, parseMemory } from "../core/memory.ts";
import { type UpdateDeps, Updater } from "../driver.ts";
import { PullError, ServerUnreachableError, UpdatePortError } from "../errors.ts";
import type { Behaviour, SimFleet } from "./sim-fleet.ts";

const TRIES = 3;
const BOOT_MS = 20_000;
const AGENT_RESTART_MS = 2_000;

/** Chances of faults, each for one call of one port. */
export interface SimFaults {
  /** The call fails and has done nothing. */
  fail: number;
  /** The agent is killed before or after the call's work. */
  killAgent: number;
  /** The machine loses power before or after it. */
  powerCut: number;
  /** It takes up to 20 minutes: longer than the lock lives when it cannot be renewed. */
  stall: number;
}

export const NO_FAULTS: SimFaults = { fail: 0, killAgent: 0, powerCut: 0, stall: 0 };

interface Disk {
  memory: string | undefined;
  pulled: Set<string>;
  staged: Set<string>;
  default: Target;
  trial: { target: Target; triesLeft: number; triesDone: number } | undefined;
  rolledBack: (Target & { reason: string }) | undefined;
  previous: Target | undefined;
  gateReason: string | undefined;
}

/** A machine that boots, runs an agent over simulated ports, and can lose either at any call of a port. */
export class SimMachine {
  readonly name: string;
  readonly faults: SimFaults = { ...NO_FAULTS };
  readonly disk: Disk;
  booted: Target;
  updater: Updater | undefined;
  /** What it can reach. */
  isLockReachable = true;
  isWell = true;
  /** One call that takes so long, once. */
  stallAt: { readonly what: string; readonly ms: number } | undefined;
  readonly log: string[] = [];
  readonly #fleet: SimFleet;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #policy: Policy;
  #bootCount = 0;
  #life = 0;
  #isOff = false;
  #isHeld = false;
  #renewal: Disposable | undefined;
  #onLost: ((reason: string) => void) | undefined;

  constructor(fleet: SimFleet, options: { name: string; random: Random; policy: Policy; version: string }) {
    this.name = options.name;
    this.#fleet = fleet;
    this.#clock = fleet.clock;
    this.#random = options.random;
    this.#policy = options.policy;
    this.booted = { version: options.version, commit: fleet.commitOf(options.version) };
    this.disk = {
      memory: undefined,
      pulled: new Set([this.booted.commit]),
      staged: new Set(),
      default: this.booted,
      trial: undefined,
      rolledBack: undefined,
      previous: undefined,
      gateReason: undefined,
    };
  }

  /** What the boot loader and the kernel do, then the agent's start. */
  powerOn(): void {
    this.#isOff = false;
    this.#bootCount++;
    const { disk } = this;
    const { trial } = disk;
    if (trial !== undefined && trial.triesLeft > 0) {
      trial.triesLeft--;
      trial.triesDone++;
      this.booted = trial.target;
    } else {
      if (trial !== undefined) disk.rolledBack = { ...trial.target, reason: disk.gateReason ?? "kernel panic" };
      disk.trial = undefined;
      this.booted = disk.default;
    }
    this.#note(`boots ${this.booted.version}`);
    if (this.#behaviour() === "panics") {
      this.#clock.after(BOOT_MS, () => this.powerOn());
      return;
    }
    this.#clock.after(BOOT_MS, () => this.#startAgent());
  }

  powerCut(): void {
    this.#note("power cut");
    this.killAgent(false);
    this.#isOff = true;
    this.#clock.after(1_000, () => this.powerOn());
  }

  killAgent(restarts = true): void {
    this.#life++;
    this.#isHeld = false;
    this.#renewal?.[Symbol.dispose]();
    const old = this.updater;
    this.updater = undefined;
    // A killed process does nothing more; ours must be stopped from outside.
    void old?.[Symbol.asyncDispose]();
    if (!restarts) return;
    this.#note("agent killed");
    this.#clock.after(AGENT_RESTART_MS, () => this.#startAgent());
  }

  /** The ports as a new agent gets them; those of the one before are dead. */
  newLife(): UpdateDeps {
    this.killAgent(false);
    return this.#deps(++this.#life);
  }

  /** A trial that runs and has not been marked good. */
  get isOnTrial(): boolean {
    return this.disk.trial?.target.commit === this.booted.commit && this.disk.default.commit !== this.booted.commit;
  }

  #behaviour(): Behaviour {
    return this.#fleet.behaviours.get(this.booted.version) ?? "good";
  }

  #startAgent(): void {
    if (this.#isOff) return;
    const life = ++this.#life;
    Updater.start(this.#deps(life), this.#policy).then(
      (updater) => {
        if (life === this.#life) this.updater = updater;
        else void updater[Symbol.asyncDispose]();
      },
      () => {
        if (life === this.#life && !this.#isOff) this.#clock.after(AGENT_RESTART_MS, () => this.#startAgent());
      },
    );
  }

  /** One call of a port: where things go wrong. A call of a dead agent never answers. */
  async #call<T>(life: number, what: string, work: () => T): Promise<T> {
    const dead = () => life !== this.#life;
    if (dead()) return new Promise<T>(() => {});
    const chance = (p: number) => p > 0 && this.#random.below(1_000_000) < p * 1_000_000;
    const strike = (when: string): boolean => {
      if (chance(this.faults.powerCut)) {
        this.#note(`${when} ${what}`);
        this.powerCut();
      } else if (chance(this.faults.killAgent)) {
        this.#note(`${when} ${what}`);
        this.killAgent();
      } else return false;
      return true;
    };
    // Between the last look at the lock and the reboot nothing may stall: systemd is asked at once.
    const planned = this.stallAt?.what === what ? this.stallAt.ms : undefined;
    if (planned !== undefined || (what !== "reboot" && chance(this.faults.stall))) {
      this.#note(`stalls at ${what}`);
      this.stallAt = undefined;
      const ms = planned ?? this.#random.below(20 * 60_000);
      await new Promise<void>((resolve) => void this.#clock.after(ms, resolve));
      if (dead()) return new Promise<T>(() => {});
    }
    if (strike("before")) return new Promise<T>(() => {});
    if (chance(this.faults.fail)) throw new UpdatePortError(`simulated fault of ${what}`);
    const result = work();
    if (dead() || strike("after")) return new Promise<T>(() => {});
    return result;
  }

  #deps(life: number): UpdateDeps {
    const fleet = this.#fleet;
    const { disk } = this;
    const call = <T>(what: string, work: () => T) => this.#call(life, what, work);
    const reach = <T>(what: string, work: () => T) =>
      call(what, () => {
        if (!this.isLockReachable) throw new UpdatePortError("etcd does not answer");
        return work();
      });
    return {
      clock: this.#clock,
      random: this.#random,
      logger: silentLogger,
      allowDowngrade: false,
      identity: {
        basearch: "x86_64",
        stream: "test",
        nodeUuid: this.name,
        group: "default",
        rolloutWariness: undefined,
      },
      graph: {
        fetch: () =>
          call("graph", () => {
            if (fleet.isServerDown) throw new ServerUnreachableError("the update server does not answer");
            return fleet.graph();
          }),
      },
      puller: {
        pull: (target) =>
          call("pull", () => {
            if (fleet.isServerLying && /^0+$/.test(target.commit)) throw new PullError("no valid signature", true);
            disk.pulled.add(target.commit);
          }),
      },
      deployer: {
        stage: (target) =>
          call("stage", () => {
            fleet.must(disk.pulled.has(target.commit), "only what was pulled is staged");
            disk.staged.add(target.commit);
            return `${target.commit}.0`;
          }),
        finalize: (id) =>
          call("merge /etc", () => {
            fleet.must(disk.staged.has(id.slice(0, -2)), "only what was staged is finished");
            return id;
          }),
        cleanUp: () => call("clean up", () => {}),
      },
      boot: {
        facts: () => call("facts", () => this.#facts()),
        arm: (id) => call("arm", () => this.#arm(id)),
        markGood: () => call("mark good", () => this.#markGood()),
        goBack: (reason) => call("go back", () => this.#goBack(reason)),
        recordStage: () => call("record", () => {}),
      },
      lock: {
        acquire: (options) => this.#acquire(life, options),
        resume: () =>
          reach("resume", () => {
            if (fleet.renew(this.name)) this.#hold(life);
            return this.#isHeld;
          }),
        release: () => reach("release", () => this.#release()),
        confirm: async () => {
          if (this.#policy.needsLock && !(this.#isHeld && fleet.holdsLock(this.name)))
            throw new UpdatePortError("the lock is not held any more");
        },
        onLost: (listener) => {
          this.#onLost = (reason) => life === this.#life && listener(reason);
        },
      },
      board: {
        denials: () => reach("denials", () => [...fleet.denials]),
        deny: (denial) => reach("deny", () => fleet.deny(denial)),
      },
      gate: {
        run: ({ deadlineMs }) =>
          call("gate", () => {
            const isGreen = this.isWell && this.#behaviour() === "good";
            return { isGreen, reason: isGreen ? "" : `fleetd: not healthy after ${deadlineMs} ms`, results: [] };
          }),
      },
      rebooter: { reboot: () => call("reboot", () => this.#reboot()) },
      store: {
        load: () =>
          call("load", () => {
            if (disk.memory === undefined) return { memory: EMPTY_MEMORY };
            return { memory: parseMemory(disk.memory) };
          }),
        save: (memory) =>
          call("save", () => {
            disk.memory = encodeMemory(memory);
          }),
      },
    };
  }

  #facts(): BootFacts {
    const { disk, booted } = this;
    const deployed = (t: Target) => ({ ...t, deployment: `${t.commit}.0` });
    const { trial } = disk;
    const isArmed = trial !== undefined && trial.triesLeft > 0 && trial.target.commit !== booted.commit;
    const previous = this.isOnTrial ? disk.default : disk.previous;
    return {
      bootId: `boot-${this.#bootCount}`,
      booted: deployed(booted),
      isTrial: this.isOnTrial,
      ...(previous === undefined ? {} : { previous: deployed(previous) }),
      ...(isArmed ? { armed: trial.target } : {}),
      ...(disk.rolledBack === undefined ? {} : { rolledBack: disk.rolledBack }),
    };
  }

  #arm(id: string): void {
    const commit = id.slice(0, -2);
    const release = this.#fleet.stream.releases.find((r) => r.commit === commit);
    assert(release !== undefined, "only a release is armed");
    this.disk.trial = { target: { version: release.version, commit }, triesLeft: TRIES, triesDone: 0 };
    this.disk.rolledBack = undefined;
    this.disk.gateReason = undefined;
    this.#note(`arms ${release.version}`);
  }

  #markGood(): void {
    const { disk } = this;
    this.#fleet.must(this.#behaviour() === "good", `${this.name} marks a bad version good`);
    if (disk.default.commit !== this.booted.commit) disk.previous = disk.default;
    disk.default = this.booted;
    if (disk.trial?.target.commit === this.booted.commit) disk.trial = undefined;
    disk.rolledBack = undefined;
    this.#note(`marks ${this.booted.version} good`);
  }

  #goBack(reason: string): void {
    const { disk } = this;
    if (this.isOnTrial && disk.trial !== undefined) {
      disk.trial.triesLeft = 0;
      disk.gateReason = reason;
    } else if (disk.previous !== undefined) {
      disk.trial = { target: disk.previous, triesLeft: TRIES, triesDone: 0 };
    }
    this.#note("goes back");
  }

  #reboot(): void {
    const { trial } = this.disk;
    const isForUpdate = trial !== undefined && trial.triesLeft > 0 && trial.target.commit !== this.booted.commit;
    if (isForUpdate) {
      // The one thing that all of this is for.
      if (this.#policy.needsLock) {
        this.#fleet.must(this.#fleet.holdsLock(this.name), `${this.name} reboots for an update without the lock`);
      }
      this.#fleet.noteTrial(this.name, trial.target);
    }
    this.#note("reboots");
    this.killAgent(false);
    this.#isOff = true;
    this.#clock.after(1_000, () => this.powerOn());
  }

  async #acquire(
    life: number,
    { version, signal, onWait }: Parameters<UpdateDeps["lock"]["acquire"]>[0],
  ): Promise<void> {
    for (;;) {
      const isTaken = await this.#call(life, "take lock", () => {
        if (!this.isLockReachable) return false;
        if (!this.#policy.needsLock) return true;
        return this.#fleet.tryTake(this.name, version);
      });
      if (isTaken) {
        if (signal.aborted) throw new UpdatePortError("cancelled");
        this.#hold(life);
        return;
      }
      onWait({ what: "lock" });
      await new Promise<void>((resolve) => void this.#clock.after(5_000, resolve));
      if (signal.aborted) throw new UpdatePortError("cancelled");
    }
  }

  #hold(life: number): void {
    this.#isHeld = true;
    this.#renewal?.[Symbol.dispose]();
    this.#renewal = this.#clock.every(this.#fleet.lockTtlMs / 3, () => {
      if (life !== this.#life || !this.#isHeld || !this.#policy.needsLock) return;
      if (!this.isLockReachable) {
        if (this.#fleet.holdsLock(this.name)) return;
      } else if (this.#fleet.renew(this.name)) return;
      this.#isHeld = false;
      this.#onLost?.("its time is over");
    });
  }

  #release(): void {
    if (this.#fleet.holds.has(this.name)) {
      this.#fleet.must(!this.isOnTrial, `${this.name} gives the lock back on trial`);
      this.#note("gives the lock back");
    }
    this.#isHeld = false;
    this.#renewal?.[Symbol.dispose]();
    this.#fleet.release(this.name);
  }

  #note(text: string): void {
    this.log.push(`${(this.#clock.monotonicMs() / 1_000).toFixed(1)} ${this.name} ${text}`);
  }
}
