import type { Clock, Logger, UnitName } from "@keelson/types";
import { SessionLostError, StoreUnavailableError } from "../errors.ts";
import type { Keys } from "../registry/keys.ts";
import { formatState, type StateRecord } from "../registry/records.ts";
import type { FleetStore, StoreSession, Write } from "../store/port.ts";
import { Backoff, delay, Signal } from "../time.ts";

/** Options of {@link StatePublisher}. */
export interface PublisherOptions {
  readonly store: FleetStore;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** So many states go into one transaction. */
const BATCH_MAX = 100;
/** Changes that come within this time are written together, and only the last one of a unit. */
const COLLECT_MS = 20;

/** Writes the states of this machine's units, under the machine's session, when they change and at no other time. */
export class StatePublisher {
  readonly #options: PublisherOptions;
  readonly #wanted = new Map<string, string>();
  readonly #published = new Map<string, string>();
  readonly #changed = new Signal();
  #session: StoreSession | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** The state of a unit, or that there is none any more. */
  set(name: UnitName, machineId: string, state: StateRecord | undefined): void {
    const key = this.#options.keys.state(name, machineId);
    if (state === undefined) this.#wanted.delete(key);
    else this.#wanted.set(key, formatState(state));
    this.#changed.raise();
  }

  /** A key of ours that an earlier run left behind. */
  noteLeftover(key: string): void {
    if (!this.#published.has(key)) this.#published.set(key, "");
    this.#changed.raise();
  }

  /** Under a new session everything is written anew: what was under the old one goes with it. */
  setSession(session: StoreSession | undefined): void {
    this.#session = session;
    for (const key of this.#published.keys()) this.#published.set(key, "");
    this.#changed.raise();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const backoff = new Backoff(clock, 100, 2_000);
    while (!signal.aborted) {
      await this.#changed.wait(signal);
      await delay(clock, COLLECT_MS, signal);
      if (signal.aborted) return;
      try {
        await this.#flush();
        backoff.reset();
      } catch (error) {
        if (!(error instanceof StoreUnavailableError) && !(error instanceof SessionLostError)) throw error;
        logger.debug("states could not be published yet", { error });
        await backoff.wait(signal);
        this.#changed.raise();
      }
    }
  }

  async #flush(): Promise<void> {
    const session = this.#session;
    if (session === undefined) return;
    const todo: { readonly key: string; readonly value: string | undefined }[] = [];
    for (const [key, value] of this.#wanted) if (this.#published.get(key) !== value) todo.push({ key, value });
    for (const key of this.#published.keys()) if (!this.#wanted.has(key)) todo.push({ key, value: undefined });
    for (let i = 0; i < todo.length; i += BATCH_MAX) {
      const batch = todo.slice(i, i + BATCH_MAX);
      const writes = batch.map(
        ({ key, value }): Write =>
          value === undefined ? { type: "delete", key } : { type: "put", key, value, session },
      );
      await this.#options.store.commit([], writes);
      if (this.#session !== session) return;
      for (const { key, value } of batch) {
        if (value === undefined) this.#published.delete(key);
        else this.#published.set(key, value);
      }
    }
  }
}
