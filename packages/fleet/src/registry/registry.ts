import { type Clock, formatErrorChain, type Logger, type Revision } from "@keelson/types";
import { StoreCompactedError, StoreUnavailableError } from "../errors.ts";
import type { FleetStore, StoreSnapshot } from "../store/port.ts";
import { Backoff, delay, Signal } from "../time.ts";
import { Keys } from "./keys.ts";
import { RegistryView, type Topic } from "./view.ts";

/** Options of {@link Registry}. */
export interface RegistryOptions {
  readonly store: FleetStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly keyPrefix?: string;
}

/**
 * fleet's state, cached: read once, then followed by one watch. Engine, agent and API of a machine share one. What it
 * shows is always some revision of the store, whole; {@link sync} makes it one that includes everything written so far.
 */
export class Registry {
  readonly keys: Keys;
  readonly view: RegistryView;
  readonly store: FleetStore;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #listeners = new Set<(topics: ReadonlySet<Topic>) => void>();
  readonly #waiters = new Set<() => void>();
  #revision: Revision = 0;

  constructor(options: RegistryOptions) {
    this.store = options.store;
    this.keys = new Keys(options.keyPrefix);
    this.view = new RegistryView(this.keys);
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  /** The last revision taken in; 0 before the first. */
  get revision(): Revision {
    return this.#revision;
  }

  /** Calls `fn` after each change until disposed. */
  subscribe(fn: (topics: ReadonlySet<Topic>) => void): Disposable {
    this.#listeners.add(fn);
    return { [Symbol.dispose]: () => void this.#listeners.delete(fn) };
  }

  /** Follows the store until the signal aborts, whatever happens to the store. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.#clock, 100, 2_000);
    while (!signal.aborted) {
      try {
        await this.sync();
        backoff.reset();
        for await (const batch of this.store.watch(this.keys.prefix, this.#revision, signal)) {
          // A read of everything may have overtaken the watch.
          if (batch.revision <= this.#revision) continue;
          const topics = new Set<Topic>();
          for (const event of batch.events) {
            const isPut = event.type === "put";
            const revision = isPut ? event.entry.modRevision : event.modRevision;
            if (revision <= this.#revision) continue;
            const topic = isPut ? this.view.apply(event.entry.key, event.entry) : this.view.apply(event.key, undefined);
            if (topic !== undefined) topics.add(topic);
          }
          this.#advance(batch.revision, topics);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof StoreCompactedError) && !(error instanceof StoreUnavailableError)) throw error;
        this.#logger.warn("registry is read anew", { error });
        await backoff.wait(signal);
      }
    }
  }

  /** Reads everything: afterwards the view includes all writes that were done before the call. */
  async sync(): Promise<void> {
    this.#take(await this.store.read(this.keys.prefix));
  }

  /** Resolves when the view includes a revision of a write of ours, or after `timeoutMs` at the latest (false). */
  async waitFor(revision: Revision, timeoutMs = 5_000): Promise<boolean> {
    const deadline = new AbortController();
    using _ = this.#clock.after(timeoutMs, () => deadline.abort());
    const wake = new Signal();
    const raise = () => wake.raise();
    this.#waiters.add(raise);
    try {
      while (this.#revision < revision && !deadline.signal.aborted) await wake.wait(deadline.signal);
    } finally {
      this.#waiters.delete(raise);
    }
    return this.#revision >= revision;
  }

  /** Resolves when there is something to show. */
  async loaded(signal: AbortSignal): Promise<void> {
    while (this.#revision === 0 && !signal.aborted) {
      await Promise.race([this.waitFor(1, 60_000), delay(this.#clock, 60_000, signal)]);
    }
  }

  #take(snapshot: StoreSnapshot): void {
    if (snapshot.revision < this.#revision) return;
    this.view.clear();
    for (const entry of snapshot.entries) this.view.apply(entry.key, entry);
    this.#advance(snapshot.revision, new Set(["schedule", "states"]));
  }

  #advance(revision: Revision, topics: ReadonlySet<Topic>): void {
    this.#revision = revision;
    for (const wake of this.#waiters) wake();
    for (const fn of this.#listeners) {
      try {
        fn(topics);
      } catch (error) {
        this.#logger.error("listener failed", { error: formatErrorChain(error) });
      }
    }
  }
}
