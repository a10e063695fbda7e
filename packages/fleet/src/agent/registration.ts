import type { Clock, Logger } from "@keelson/types";
import { SessionLostError, StoreUnavailableError } from "../errors.ts";
import type { Keys } from "../registry/keys.ts";
import { formatMachine, type MachineRecord, parseMachine } from "../registry/records.ts";
import type { FleetStore, StoreSession } from "../store/port.ts";
import { aborted, Backoff } from "../time.ts";

/** Options of {@link Registration}. */
export interface RegistrationOptions {
  readonly store: FleetStore;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly machine: MachineRecord;
  readonly ttlMs: number;
  /** Called with each new session once the machine is registered under it, and with undefined when it is lost. */
  readonly onSession: (session: StoreSession | undefined) => void;
}

/** Keeps the machine's key in the store, under a lease, as long as the store can be reached. */
export class Registration {
  readonly #options: RegistrationOptions;
  #session: StoreSession | undefined;
  #problem: string | undefined = "not registered yet";
  /** Sessions of tries with an unknown end: the machine's key may be under one of them. */
  readonly #doubtful: StoreSession[] = [];

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  /** The session of the machine's key; undefined while it is not registered. */
  get session(): StoreSession | undefined {
    return this.#session;
  }

  /** Why the machine is not registered; undefined when it is. */
  get problem(): string | undefined {
    return this.#problem;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger, onSession } = this.#options;
    const unreachable = new Backoff(clock, 100, 2_000);
    const duplicate = new Backoff(clock, 1_000, 60_000);
    while (!signal.aborted) {
      try {
        const session = await this.#register();
        if (session === undefined) {
          this.#problem = `another fleetd is registered with machine id ${this.#options.machine.id}`;
          logger.error("machine id is taken; give this machine one of its own (/etc/machine-id)", {
            machineId: this.#options.machine.id,
          });
          await duplicate.wait(signal);
          continue;
        }
        unreachable.reset();
        duplicate.reset();
        this.#session = session;
        this.#problem = undefined;
        logger.info("machine registered", { machineId: this.#options.machine.id });
        onSession(session);
        await aborted(AbortSignal.any([signal, session.lost]));
        if (signal.aborted) break;
        throw new SessionLostError("machine's lease has ended");
      } catch (error) {
        if (!(error instanceof StoreUnavailableError) && !(error instanceof SessionLostError)) throw error;
        if (this.#session !== undefined) logger.warn("machine lost the store; its units run on", { error });
        this.#problem = "fleet server unable to communicate with etcd";
        await this.#session?.close({ revoke: false });
        this.#session = undefined;
        onSession(undefined);
        await unreachable.wait(signal);
      }
    }
  }

  /**
   * Leaves the store. With `keepMs` the machine's key stays that long, so that a fleetd that is started again in that
   * time finds its units where they were; without, the machine is gone at once.
   */
  async leave(keepMs: number | undefined): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    this.#problem = "shutting down";
    if (session === undefined) return;
    if (keepMs === undefined) return await session.close({ revoke: true });
    try {
      const { store, keys, machine } = this.#options;
      const late = await store.openSession(keepMs);
      await store.commit(
        [],
        [{ type: "put", key: keys.machine(machine.id), value: formatMachine(machine), session: late }],
      );
      await late.close({ revoke: false });
    } catch (error) {
      this.#options.logger.warn("machine's key may run out early", { error });
    }
    await session.close({ revoke: false });
  }

  /** Undefined: somebody else has this machine id. */
  async #register(): Promise<StoreSession | undefined> {
    const { store, keys, machine, ttlMs } = this.#options;
    const key = keys.machine(machine.id);
    const session = await store.openSession(ttlMs);
    try {
      const { entries } = await store.read(key);
      const old = entries.find((entry) => entry.key === key);
      const isOurs = old === undefined || parseMachine(old.value)?.instance === machine.instance;
      if (isOurs) {
        const condition = { key, modRevision: old?.modRevision ?? 0 };
        const put = { type: "put", key, value: formatMachine(machine), session } as const;
        if ((await store.commit([condition], [put])).isCommitted) {
          for (const other of this.#doubtful.splice(0)) void other.close({ revoke: true });
          return session;
        }
      }
    } catch (error) {
      this.#doubtful.push(session);
      throw error;
    }
    await session.close({ revoke: true });
    return undefined;
  }
}
