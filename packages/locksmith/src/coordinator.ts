import { SystemClock, SystemRandom } from "@keelson/log";
import { type Clock, type Logger, type Random, silentLogger } from "@keelson/types";
import { LocksmithError } from "./core/errors.ts";
import { mayGoDown, type QuorumVerdict } from "./core/quorum.ts";
import { nextStep, type RebootStep, type Strategy } from "./core/strategy.ts";
import { jitterMs, type RebootWindow, windowAt } from "./core/window.ts";
import type { Hold } from "./hold.ts";
import type { QuorumSource } from "./locker.ts";
import type { Semaphore } from "./semaphore.ts";
import { StoreUnavailableError } from "./store/port.ts";
import { Backoff, pause } from "./wait.ts";

/** Options of {@link RebootCoordinator}. */
export interface RebootCoordinatorOptions {
  readonly strategy: Strategy;
  /** This machine, as it stands in the semaphore: its machine id. */
  readonly id: string;
  /** Its name, for people. */
  readonly machine?: string;
  /** Needed by `etcd-lock` and `best-effort`. */
  readonly semaphore?: Semaphore;
  /** Needed when this machine may be a member of etcd. */
  readonly quorum?: QuorumSource;
  readonly mayLoseQuorum?: boolean;
  /** Default: at any time. */
  readonly window?: RebootWindow;
  /** Machines begin at different times within so much of a window. Default 0. */
  readonly jitterSpanMs?: number;
  /** `best-effort` goes without the lock when etcd has not answered for so long. Default one minute. */
  readonly patienceMs?: number;
  /** Called at each change of {@link RebootCoordinator.state}. */
  readonly onState?: (state: CoordinatorState) => void;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

/** What a coordinator is about. */
export interface CoordinatorState {
  readonly phase: "idle" | "waiting-for-window" | "waiting-for-lock" | "checking" | "ready" | "releasing";
  /** For people: why it waits. */
  readonly reason: string;
  readonly isHolding: boolean;
}

/** The permission to go down now. */
export interface RebootPermit {
  /** Undefined with the strategy `reboot`, and with `best-effort` when etcd did not answer. */
  readonly hold: Hold | undefined;
  /**
   * To be asked right before the machine goes down, when some time has passed since: throws when it may not any more.
   *
   * @throws {LocksmithError} ERR_HOLD_LOST, ERR_QUORUM, ERR_STORE_UNAVAILABLE
   */
  confirm(signal?: AbortSignal): Promise<void>;
}

/** A window is looked at again after so long, since the wall clock may be set. */
const LOOK_AGAIN_MS = 60_000;

/**
 * Decides when this machine may go down: strategy, window, lock, quorum. One `acquire` at a time. A hold outlives the
 * reboot; afterwards `resume` finds it, and `release` gives it back once the machine is well.
 */
export class RebootCoordinator {
  readonly #options: RebootCoordinatorOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  #state: CoordinatorState = { phase: "idle", reason: "", isHolding: false };
  #hold: Hold | undefined;
  #unreachableSinceMs: number | undefined;

  /** @throws {LocksmithError} ERR_CONFIG */
  constructor(options: RebootCoordinatorOptions) {
    const needsLock = options.strategy === "etcd-lock" || options.strategy === "best-effort";
    if (needsLock && options.semaphore === undefined) {
      throw new LocksmithError("ERR_CONFIG", `the strategy ${options.strategy} needs a semaphore`);
    }
    this.#options = options;
    this.#clock = options.clock ?? new SystemClock();
    this.#random = options.random ?? new SystemRandom();
    this.#logger = options.logger ?? silentLogger;
  }

  get state(): CoordinatorState {
    return this.#state;
  }

  /** The hold, as long as this machine has one for certain. */
  get hold(): Hold | undefined {
    return this.#hold?.isHeld === true ? this.#hold : undefined;
  }

  /**
   * After a start: finds the hold of this machine's earlier life and keeps it alive. Waits for etcd to answer. Undefined:
   * it holds nothing, or has no semaphore.
   */
  async resume(signal?: AbortSignal): Promise<Hold | undefined> {
    const { semaphore, id } = this.#options;
    if (semaphore === undefined) return undefined;
    if (this.hold !== undefined) return this.hold;
    this.#hold = await this.#untilReachable(() => semaphore.resume(id, signal), signal);
    this.#tell("idle", this.#hold === undefined ? "" : "holds the lock from before");
    return this.#hold;
  }

  /**
   * Waits until this machine may go down: window, lock, quorum, in this order and each looked at again when a later one took
   * time. `version` is what it reboots into: denied to all when this machine does not come back.
   *
   * @throws {LocksmithError} ERR_STRATEGY_OFF; the signal's reason, after the lock was given back
   */
  async acquire(
    signal: AbortSignal,
    purpose: { readonly version?: string | undefined; readonly reason?: string | undefined } = {},
  ): Promise<RebootPermit> {
    const backoff = new Backoff({ clock: this.#clock, random: this.#random, minMs: 2_000, maxMs: 60_000 });
    let quorum: QuorumVerdict | undefined;
    if (this.#hold !== undefined && this.#hold.record.version !== purpose.version) {
      // Locking again says in the store what for.
      this.#hold.letGo();
      this.#hold = undefined;
    }
    try {
      for (;;) {
        signal.throwIfAborted();
        const step = this.#nextStep(quorum);
        quorum = undefined;
        if (step.do === "refuse") throw new LocksmithError("ERR_STRATEGY_OFF", step.reason);
        if (step.do === "wait") await this.#wait(step, backoff, signal);
        else if (step.do === "lock") await this.#lock(step.beforeMs, purpose, signal);
        else if (step.do === "ask-quorum") quorum = await this.#askQuorum(signal);
        else if (!step.withLock || (await this.#isConfirmed(signal))) return this.#permit();
      }
    } catch (error) {
      if (this.#hold !== undefined) await this.#giveUp();
      throw error;
    }
  }

  /**
   * Gives the lock back, also one of an earlier life and whatever the strategy is now; does nothing when there is none. Tries
   * until it is certain.
   */
  async release(signal?: AbortSignal): Promise<void> {
    const hold = this.#hold ?? (await this.resume(signal));
    if (hold === undefined) return;
    this.#tell("releasing", "");
    await hold.release(signal);
    this.#hold = undefined;
    this.#tell("idle", "");
  }

  #nextStep(quorum: QuorumVerdict | undefined): RebootStep {
    const { strategy, window, jitterSpanMs, id } = this.#options;
    const nowMs = this.#clock.wallMs();
    const since = this.#unreachableSinceMs;
    return nextStep({
      strategy,
      window: window === undefined ? undefined : windowAt(window, nowMs),
      jitterMs: jitterMs(id, jitterSpanMs ?? 0),
      nowMs,
      isHolding: this.hold !== undefined,
      unreachableMs: since === undefined ? 0 : this.#clock.monotonicMs() - since,
      patienceMs: this.#patienceMs,
      quorum,
    });
  }

  get #patienceMs(): number {
    return this.#options.patienceMs ?? 60_000;
  }

  async #wait(step: RebootStep & { do: "wait" }, backoff: Backoff, signal: AbortSignal): Promise<void> {
    if (step.giveBack) {
      this.#logger.info("the reboot lock is given back for now", { reason: step.reason });
      await this.release(signal);
    }
    if (step.untilMs === undefined) {
      this.#tell("checking", step.reason);
      return await backoff.wait(signal);
    }
    this.#tell("waiting-for-window", step.reason);
    await pause(this.#clock, Math.min(LOOK_AGAIN_MS, step.untilMs - this.#clock.wallMs()), signal);
  }

  /** Returns without the lock when the window closes meanwhile, or when `best-effort` loses its patience. */
  async #lock(
    beforeMs: number | undefined,
    purpose: { readonly version?: string | undefined; readonly reason?: string | undefined },
    signal: AbortSignal,
  ): Promise<void> {
    const { semaphore, id, machine, strategy, quorum, mayLoseQuorum } = this.#options;
    if (semaphore === undefined) return;
    this.#tell("waiting-for-lock", "");
    const enough = new AbortController();
    using timers = new DisposableStack();
    if (beforeMs !== undefined) {
      timers.use(this.#clock.every(1_000, () => this.#clock.wallMs() >= beforeMs && enough.abort()));
    }
    if (strategy === "best-effort") {
      timers.use(this.#clock.every(1_000, () => this.#isOutOfPatience() && enough.abort()));
    }
    try {
      this.#hold = await semaphore.lock(id, {
        machine,
        ...purpose,
        wait: true,
        quorum,
        mayLoseQuorum,
        signal: AbortSignal.any([signal, enough.signal]),
        onWait: (reason, error) => this.#onWait(reason, error),
      });
      this.#unreachableSinceMs = undefined;
      this.#tell("checking", "");
    } catch (error) {
      signal.throwIfAborted();
      if (!enough.signal.aborted) throw error;
    }
  }

  #onWait(reason: string, error: unknown): void {
    if (error === undefined) this.#unreachableSinceMs = undefined;
    else this.#unreachableSinceMs ??= this.#clock.monotonicMs();
    this.#logger.info("waiting for the reboot lock", { reason, ...(error === undefined ? {} : { error }) });
    this.#tell("waiting-for-lock", reason);
  }

  #isOutOfPatience(): boolean {
    const since = this.#unreachableSinceMs;
    return since !== undefined && this.#clock.monotonicMs() - since >= this.#patienceMs;
  }

  /** Without etcd there is nothing to ask, and no majority that this machine could take away. */
  async #askQuorum(signal: AbortSignal): Promise<QuorumVerdict> {
    try {
      return await this.#judge(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof StoreUnavailableError)) throw error;
      if (this.#options.strategy !== "etcd-lock" && this.hold === undefined) return { ok: true };
      return { ok: false, reason: "etcd does not say how its members are" };
    }
  }

  async #judge(signal?: AbortSignal): Promise<QuorumVerdict> {
    const { quorum, semaphore, id, mayLoseQuorum = false } = this.#options;
    if (quorum === undefined) return { ok: true };
    if (semaphore !== undefined) return await semaphore.judge(id, quorum, { mayLoseQuorum, signal });
    const seen = await quorum.look(signal);
    return mayGoDown({ ...seen, leaving: new Map(), unknownHolders: [], mayLoseQuorum });
  }

  async #isConfirmed(signal: AbortSignal): Promise<boolean> {
    try {
      if ((await this.#hold?.announce(signal)) === true) return true;
      this.#hold = undefined;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof StoreUnavailableError)) throw error;
      this.#tell("checking", "etcd does not answer");
      await pause(this.#clock, 1_000, signal);
    }
    return false;
  }

  #permit(): RebootPermit {
    this.#tell("ready", "");
    const hold = this.#hold;
    const isLocked = hold !== undefined;
    return {
      hold,
      confirm: async (signal) => {
        if (isLocked && !(await hold.confirm(signal))) {
          throw new LocksmithError("ERR_HOLD_LOST", "the reboot lock is not held any more");
        }
        const verdict = isLocked ? await this.#judge(signal) : await this.#askQuorum(signal ?? NEVER);
        if (!verdict.ok) throw new LocksmithError("ERR_QUORUM", verdict.reason);
        if (isLocked) hold.assertHeld();
      },
    };
  }

  /** After an error or an abort: what cannot be given back soon comes back with the lease. */
  async #giveUp(): Promise<void> {
    const late = new AbortController();
    using _timer = this.#clock.after(GIVE_UP_MS_MAX, () => late.abort());
    await this.#hold?.release(late.signal).catch(() => {});
    this.#hold?.letGo();
    this.#hold = undefined;
    this.#tell("idle", "");
  }

  async #untilReachable<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const backoff = new Backoff({ clock: this.#clock, random: this.#random, minMs: 500, maxMs: 30_000 });
    for (;;) {
      signal?.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof StoreUnavailableError)) throw error;
        this.#logger.debug("etcd does not answer yet", { error });
      }
      await backoff.wait(signal);
    }
  }

  #tell(phase: CoordinatorState["phase"], reason: string): void {
    const next = { phase, reason, isHolding: this.hold !== undefined };
    const { phase: p, reason: r, isHolding: h } = this.#state;
    this.#state = next;
    if (p !== phase || r !== reason || h !== next.isHolding) this.#options.onState?.(next);
  }
}

const GIVE_UP_MS_MAX = 5_000;
const NEVER = new AbortController().signal;
