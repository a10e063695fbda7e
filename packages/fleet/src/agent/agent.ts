import type { Clock, Logger, MachineId, UnitName } from "@keelson/types";
import type { UnitManager, UnitStatus } from "@keelson/unit";
import { globalsOn } from "../core/reconcile.ts";
import type { MachineRecord } from "../registry/records.ts";
import type { Registry } from "../registry/registry.ts";
import type { FleetStore, StoreSession } from "../store/port.ts";
import { onAbort } from "../time.ts";
import { VERSION } from "../version.ts";
import { StatePublisher } from "./publisher.ts";
import type { AgentMemoryStore } from "./record.ts";
import { Registration } from "./registration.ts";
import { UnitKeeper, type WantedText } from "./units.ts";

/** What a machine says of itself. */
export interface MachineIdentity {
  readonly id: MachineId;
  readonly publicIp?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Where other machines reach this one's API. */
  readonly apiUrl?: string;
}

/** Options of {@link Agent}. */
export interface AgentOptions {
  readonly store: FleetStore;
  readonly registry: Registry;
  readonly manager: UnitManager;
  readonly memory: AgentMemoryStore;
  /**
   * How to know after a restart of fleetd that a unit which does not run was launched before, so that a finished job is
   * not run again. `memory`: our record says so; right where the record ends with the units, as /run does. `invocation`:
   * the manager must know an invocation of it as well; right for a manager whose own restart ends the units and which
   * keeps invocation ids until then. Default `invocation`.
   */
  readonly launchProof?: "memory" | "invocation";
  readonly clock: Clock;
  readonly logger: Logger;
  readonly machine: MachineIdentity;
  /** After so long without a word from it a machine is taken to be dead. Default 4 s. */
  readonly ttlMs?: number;
}

/** How an agent leaves. */
export interface LeaveOptions {
  /** Stop and unload all units and leave at once: fleet's old behaviour. Default false: units run on. */
  readonly drain?: boolean;
  /** Without drain: how long the units stay this machine's, waiting for its fleetd to return. Default 30 s. */
  readonly graceMs?: number;
}

/** One machine's part: keeps it registered, runs the units that the registry puts here, and says how they are. */
export class Agent {
  readonly #options: AgentOptions;
  readonly #publisher: StatePublisher;
  readonly #keeper: UnitKeeper;
  readonly #registered = Promise.withResolvers<void>();
  #registration: Registration | undefined;
  #machine: MachineRecord | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
    const { store, registry, clock, logger, manager, memory, launchProof = "invocation" } = options;
    this.#publisher = new StatePublisher({ store, keys: registry.keys, clock, logger });
    const onChange = (name: UnitName, status: UnitStatus | undefined) => this.#publish(name, status);
    this.#keeper = new UnitKeeper({
      manager,
      memory,
      launchProof,
      clock,
      logger,
      onChange,
      onReady: () => this.#forgetLeftovers(),
    });
  }

  /** Why this machine is not part of the cluster now; undefined when it is. */
  get problem(): string | undefined {
    return this.#registration === undefined ? "not started" : this.#registration.problem;
  }

  get session(): StoreSession | undefined {
    return this.#registration?.session;
  }

  /** True when everything wanted here is done. */
  get isIdle(): boolean {
    return this.#keeper.isIdle;
  }

  /** Runs until the signal aborts. Units run on. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, registry, clock, logger, machine, memory } = this.#options;
    const { instance } = await memory.load();
    await memory.save({ instance, launched: (await memory.load()).launched });
    const { id, publicIp = "", metadata = {}, apiUrl } = machine;
    const record: MachineRecord = {
      id,
      publicIp,
      metadata,
      version: VERSION,
      instance,
      ...(apiUrl === undefined ? {} : { apiUrl }),
    };
    this.#machine = record;
    this.#registration = new Registration({
      store,
      keys: registry.keys,
      clock,
      logger,
      machine: record,
      ttlMs: this.#options.ttlMs ?? 4_000,
      onSession: (session) => {
        this.#publisher.setSession(session);
        if (session !== undefined) this.#registered.resolve();
      },
    });
    onAbort(signal, () => this.#registered.resolve());
    using _ = registry.subscribe((topics) => topics.has("schedule") && this.#update());
    if (registry.revision > 0) this.#update();
    await Promise.all([this.#registration.run(signal), this.#publisher.run(signal), this.#keep(signal)]);
  }

  /** After {@link run}: leaves the cluster. */
  async leave({ drain = false, graceMs = 30_000 }: LeaveOptions = {}): Promise<void> {
    if (drain) await this.#keeper.drain();
    await this.#registration?.leave(drain ? undefined : graceMs);
  }

  async #keep(signal: AbortSignal): Promise<void> {
    // A machine that shares its id with another one must not run that one's units.
    await Promise.all([this.#options.registry.loaded(signal), this.#registered.promise]);
    if (signal.aborted) return;
    await this.#keeper.run(signal);
  }

  /** States that an earlier run of ours published under a lease that still lives, of units that are here no more. */
  #forgetLeftovers(): void {
    const { registry, machine } = this.#options;
    for (const { name, state } of registry.view.allStates()) {
      if (state.machineId === machine.id) this.#publisher.noteLeftover(registry.keys.state(name, machine.id));
    }
  }

  #update(): void {
    if (this.#machine === undefined) return;
    const { view } = this.#options.registry;
    const { id } = this.#machine;
    // Whether our own key is there does not matter: units run on while the store has lost sight of us.
    const globals = globalsOn(view.cluster(this.#machine), id);
    const wanted: WantedText[] = [];
    for (const unit of view.eachUnit()) {
      const { name, hash, raw, desired, requirements, target } = unit;
      const isHere = requirements.global ? globals.has(name) : target === id;
      if (isHere && desired !== "inactive") wanted.push({ name, hash, raw, state: desired });
    }
    this.#keeper.setWanted(wanted);
  }

  #publish(name: UnitName, status: UnitStatus | undefined): void {
    const { id } = this.#options.machine;
    const found = this.#keeper.found(name);
    if (status === undefined || found === undefined) return this.#publisher.set(name, id, undefined);
    this.#publisher.set(name, id, {
      loadState: status.loadState,
      activeState: status.activeState,
      subState: status.subState,
      machineId: id,
      hash: found.hash,
      isLaunched: found.isLaunched,
    });
  }
}
