import { type Clock, formatErrorChain, type Logger, type UnitName } from "@keelson/types";
import { hashOptions, parseOptions, type UnitManager, UnitNotLoadedError, type UnitStatus } from "@keelson/unit";
import { type FoundUnit, planUnit, planUnits, type UnitStep, type WantedUnit } from "../core/agent-plan.ts";
import { aborted, Backoff, delay, onAbort } from "../time.ts";
import { LoadBatcher } from "./load-batcher.ts";
import type { AgentMemory, AgentMemoryStore } from "./record.ts";

/** A unit that should be here, with its text. */
export interface WantedText extends WantedUnit {
  readonly raw: string;
}

/** Options of {@link UnitKeeper}. */
export interface KeeperOptions {
  readonly manager: UnitManager;
  readonly memory: AgentMemoryStore;
  /** See {@link AgentOptions.launchProof}. */
  readonly launchProof: "memory" | "invocation";
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called when a unit's state, hash or launched flag may have changed; undefined: the unit is gone from here. */
  readonly onChange: (name: UnitName, status: UnitStatus | undefined) => void;
  /** Called once all units that are here already were reported. */
  readonly onReady: () => void;
}

interface Work {
  /** Ends the wait for a start job that is no longer wanted. */
  readonly interrupt: AbortController;
  readonly target: WantedText | undefined;
}

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 30_000;

/** Makes the unit manager hold and run what is wanted: every unit for itself, so that a bad one delays no other. */
export class UnitKeeper {
  readonly #options: KeeperOptions;
  readonly #loader: LoadBatcher;
  readonly #found = new Map<UnitName, FoundUnit>();
  readonly #working = new Map<UnitName, Work>();
  readonly #retries = new Map<UnitName, { readonly backoff: Backoff; readonly target: string }>();
  #launched = new Map<UnitName, string>();
  #memory: AgentMemory | undefined;
  #wanted = new Map<UnitName, WantedText>();
  #isReady = false;
  #stopped = new AbortController();

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#loader = new LoadBatcher(options.manager);
  }

  /** What is here, as far as known. */
  found(name: UnitName): FoundUnit | undefined {
    return this.#found.get(name);
  }

  names(): UnitName[] {
    return [...this.#found.keys()];
  }

  /** True when nothing is left to do and nothing waits for another try. */
  get isIdle(): boolean {
    return this.#working.size === 0 && planUnits([...this.#wanted.values()], [...this.#found.values()]).length === 0;
  }

  /** Finds out what is here already, trying until the manager answers, and then follows it until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { manager, clock, logger } = this.#options;
    const backoff = new Backoff(clock, 200, 5_000);
    onAbort(signal, () => this.#stopped.abort(signal.reason));
    using _ = manager.subscribe((status) => this.#onStatus(status));
    while (!signal.aborted) {
      try {
        await this.refresh();
        break;
      } catch (error) {
        logger.warn("unit manager does not answer", { error: formatErrorChain(error) });
        await backoff.wait(signal);
      }
    }
    if (signal.aborted) return;
    this.#isReady = true;
    this.#options.onReady();
    this.#sync();
    await aborted(signal);
  }

  /** Reads anew what the manager holds. */
  async refresh(): Promise<void> {
    const { manager, memory, onChange } = this.#options;
    this.#memory ??= await memory.load();
    if (!this.#isReady) this.#launched = new Map(this.#memory.launched);
    const statuses = await manager.list();
    const seen = new Set<UnitName>();
    for (const status of statuses) {
      const text = await manager.content(status.name);
      if (text === undefined || this.#working.has(status.name)) continue;
      seen.add(status.name);
      const hash = hashText(text);
      const isRunning = ["active", "activating", "reloading"].includes(status.activeState);
      const wasLaunched = this.#launched.get(status.name) === hash && !this.#isForgotten(status);
      this.#found.set(status.name, { name: status.name, hash, isLaunched: isRunning || wasLaunched });
      onChange(status.name, status);
    }
    for (const name of this.#found.keys()) {
      if (seen.has(name) || this.#working.has(name)) continue;
      this.#found.delete(name);
      onChange(name, undefined);
    }
  }

  /** What should be here from now on. */
  setWanted(wanted: readonly WantedText[]): void {
    this.#wanted = new Map(wanted.map((unit) => [unit.name, unit]));
    this.#sync();
  }

  /** Stops and unloads everything. Units that resist are left behind. */
  async drain(): Promise<void> {
    const { manager, logger } = this.#options;
    await Promise.all(
      this.names().map(async (name) => {
        try {
          await manager.stop(name);
          await manager.unload([name]);
        } catch (error) {
          logger.error("unit could not be stopped", { unit: name, error: formatErrorChain(error) });
        }
      }),
    );
  }

  #onStatus(status: UnitStatus): void {
    const found = this.#found.get(status.name);
    if (found === undefined) return;
    if (found.isLaunched && !this.#working.has(status.name) && this.#isForgotten(status)) {
      // The manager itself was started anew and its units with it are gone.
      this.#found.set(status.name, { ...found, isLaunched: false });
      this.#sync();
    }
    this.#options.onChange(status.name, status);
  }

  /** Whether a unit that we launched is one that the manager never started. */
  #isForgotten(status: UnitStatus): boolean {
    const { launchProof } = this.#options;
    return launchProof === "invocation" && status.invocationId === undefined && status.activeState === "inactive";
  }

  #sync(): void {
    if (!this.#isReady || this.#stopped.signal.aborted) return;
    for (const task of planUnits([...this.#wanted.values()], [...this.#found.values()])) this.#consider(task.unit);
    for (const [name, work] of this.#working) {
      if (isOvertaken(work.target, this.#wanted.get(name))) work.interrupt.abort();
    }
  }

  #consider(name: UnitName): void {
    if (this.#working.has(name) || this.#stopped.signal.aborted) return;
    const want = this.#wanted.get(name);
    const task = planUnit(want, this.#found.get(name));
    if (task === undefined) {
      this.#retries.delete(name);
      return;
    }
    const work: Work = { interrupt: new AbortController(), target: want };
    this.#working.set(name, work);
    void this.#perform(name, task.steps, work, task.reason);
  }

  async #perform(name: UnitName, steps: readonly UnitStep[], work: Work, reason: string): Promise<void> {
    const { clock, logger } = this.#options;
    logger.info("agent works on unit", { unit: name, steps: steps.join(","), reason });
    const goal = goalOf(work.target);
    if (this.#retries.get(name)?.target !== goal) this.#retries.delete(name);
    try {
      for (const step of steps) {
        // What was begun is finished by the next fleetd: it compares anew.
        if (this.#stopped.signal.aborted) return;
        await this.#step(name, step, work);
      }
      this.#retries.delete(name);
    } catch (error) {
      if (!work.interrupt.signal.aborted) {
        logger.error("unit could not be brought to its state", { unit: name, error: formatErrorChain(error) });
        const retry = this.#retries.getOrInsertComputed(name, () => ({
          backoff: new Backoff(clock, RETRY_MIN_MS, RETRY_MAX_MS),
          target: goal,
        }));
        // A change of what is wanted ends the pause: it may be the repair.
        await delay(clock, retry.backoff.take(), AbortSignal.any([work.interrupt.signal, this.#stopped.signal]));
        await this.refresh().catch(() => {});
      }
    }
    this.#working.delete(name);
    if (this.#stopped.signal.aborted) return;
    await this.#report(name);
    this.#consider(name);
  }

  async #step(name: UnitName, step: UnitStep, work: Work): Promise<void> {
    const { manager } = this.#options;
    switch (step) {
      case "load": {
        if (work.target === undefined) return;
        await this.#loader.load({ name, content: work.target.raw });
        this.#found.set(name, { name, hash: work.target.hash, isLaunched: false });
        return await this.#report(name);
      }
      case "start":
        return await this.#start(name, work);
      case "stop":
        await ignoreNotLoaded(manager.stop(name));
        return await this.#setLaunched(name, false);
      case "unload":
        await ignoreNotLoaded(manager.unload([name]));
        await this.#setLaunched(name, false);
        this.#found.delete(name);
        this.#options.onChange(name, undefined);
        return;
    }
  }

  async #start(name: UnitName, work: Work): Promise<void> {
    // Remembered before it is so: if we die in between, the unit is found with no invocation id and is started again.
    await this.#setLaunched(name, true);
    try {
      const starting = this.#options.manager.start(name, { signal: work.interrupt.signal });
      void this.#report(name);
      const result = await starting;
      if (result !== "done") this.#options.logger.warn("start job did not succeed", { unit: name, result });
    } catch (error) {
      if (!work.interrupt.signal.aborted) await this.#setLaunched(name, false);
      throw error;
    }
  }

  async #setLaunched(name: UnitName, isLaunched: boolean): Promise<void> {
    const found = this.#found.get(name);
    if (found !== undefined) this.#found.set(name, { ...found, isLaunched });
    const before = this.#launched.get(name);
    if (isLaunched && found !== undefined) this.#launched.set(name, found.hash);
    else this.#launched.delete(name);
    const isSame = before === this.#launched.get(name);
    if (isSame || this.#memory === undefined || this.#stopped.signal.aborted) return;
    await this.#options.memory.save({ instance: this.#memory.instance, launched: this.#launched });
  }

  async #report(name: UnitName): Promise<void> {
    if (!this.#found.has(name)) return;
    try {
      const status = await this.#options.manager.status(name);
      if (this.#found.has(name)) this.#options.onChange(name, status);
    } catch {
      // The next change of the unit reports it.
    }
  }
}

/** Whether work towards `target` is pointless now, so that a start job that takes long must not hold up the rest. */
function isOvertaken(target: WantedText | undefined, now: WantedText | undefined): boolean {
  return target !== undefined && goalOf(target) !== goalOf(now);
}

function goalOf(want: WantedUnit | undefined): string {
  return want === undefined ? "" : `${want.state} ${want.hash}`;
}

function hashText(text: string): string {
  try {
    return hashOptions(parseOptions(text));
  } catch {
    return "";
  }
}

async function ignoreNotLoaded(action: Promise<unknown>): Promise<void> {
  try {
    await action;
  } catch (error) {
    if (!(error instanceof UnitNotLoadedError)) throw error;
  }
}
