import type { Clock, Logger } from "@keelson/types";
import type { UnitManager } from "@keelson/unit";
import { Agent, type LeaveOptions, type MachineIdentity } from "./agent/agent.ts";
import type { AgentMemoryStore } from "./agent/record.ts";
import { ApiServer } from "./api/server.ts";
import { Engine } from "./engine/engine.ts";
import { Metrics } from "./metrics.ts";
import { Registry } from "./registry/registry.ts";
import { RegistryWriter } from "./registry/writer.ts";
import { meterStore } from "./store/metered-store.ts";
import type { FleetStore } from "./store/port.ts";
import { delay } from "./time.ts";

/** Options of {@link Fleetd.start}. */
export interface FleetdOptions {
  readonly store: FleetStore;
  readonly manager: UnitManager;
  readonly memory: AgentMemoryStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly machine: MachineIdentity;
  /** `unix:///path`, `http://host:port` (port 0: any) or `fd:N`. */
  readonly listen: readonly string[];
  /** Default 4 s. */
  readonly ttlMs?: number;
  readonly keyPrefix?: string;
  /** False: this machine never leads. Default true. */
  readonly hasEngine?: boolean;
  /** Items of one page of the API. Default 100. */
  readonly tokenLimit?: number;
  readonly launchProof?: "memory" | "invocation";
}

/** What {@link Fleetd.reconfigure} can change. */
export type Reconfiguration = Pick<FleetdOptions, "machine" | "ttlMs" | "hasEngine">;

/** Engine and agent, which can be started anew. */
interface Daemons {
  readonly agent: Agent;
  readonly engine: Engine;
  readonly stop: AbortController;
  readonly runs: Promise<unknown>;
}

/** One machine's fleetd: registry, engine, agent and API over one store and one unit manager. */
export class Fleetd {
  readonly registry: Registry;
  /** Where the API listens. */
  readonly urls: readonly string[];
  /** Rejects when a part fails in a way that is not provided for; then the process should end. */
  readonly failed: Promise<never>;
  readonly #options: FleetdOptions;
  readonly #api: ApiServer;
  readonly #metrics: Metrics;
  readonly #following: Promise<void>;
  readonly #stop = new AbortController();
  readonly #fail: (error: unknown) => void;
  #daemons: Daemons;

  private constructor(options: FleetdOptions, registry: Registry, api: ApiServer, metrics: Metrics, urls: string[]) {
    this.#options = options;
    this.registry = registry;
    this.urls = urls;
    this.#api = api;
    this.#metrics = metrics;
    const failure = Promise.withResolvers<never>();
    this.failed = failure.promise;
    this.failed.catch(() => {});
    this.#fail = failure.reject;
    this.#following = registry.run(this.#stop.signal);
    this.#following.catch(this.#fail);
    this.#daemons = this.#startDaemons(options);
  }

  /** Listens, and starts everything else in the background: it need not reach the store yet. @throws ConfigError */
  static async start(given: FleetdOptions): Promise<Fleetd> {
    const metrics = new Metrics();
    const options = { ...given, store: meterStore(given.store, metrics, given.clock) };
    const { store, manager, clock, logger, machine, keyPrefix } = options;
    const registry = new Registry({ store, clock, logger, ...(keyPrefix === undefined ? {} : { keyPrefix }) });
    const late: { fleetd?: Fleetd } = {};
    const api = new ApiServer({
      registry,
      writer: new RegistryWriter(registry),
      manager,
      machineId: machine.id,
      metrics,
      clock,
      logger,
      tokenLimit: options.tokenLimit ?? 100,
      problem: () => (late.fleetd === undefined ? "starting" : late.fleetd.agent.problem),
    });
    const urls = await listenAll(api, options.listen);
    late.fleetd = new Fleetd(options, registry, api, metrics, urls);
    return late.fleetd;
  }

  get agent(): Agent {
    return this.#daemons.agent;
  }

  get engine(): Engine {
    return this.#daemons.engine;
  }

  /** Starts engine and agent anew with other settings. Sockets stay open and units run on. The machine's id stays. */
  async reconfigure(changes: Reconfiguration): Promise<void> {
    const old = this.#daemons;
    old.stop.abort();
    await old.runs.catch(() => {});
    const machine = { ...changes.machine, id: this.#options.machine.id };
    this.#daemons = this.#startDaemons({ ...this.#options, ...changes, machine });
    const session = old.agent.session;
    if (session === undefined) return;
    // The old lease ends once everything is under the new one; before that the machine would seem to be gone.
    const { clock } = this.#options;
    const isMoved = () => this.agent.problem === undefined && this.agent.isIdle;
    while (!this.#stop.signal.aborted && !isMoved()) await delay(clock, 100, this.#stop.signal);
    await delay(clock, 1_000, this.#stop.signal);
    await session.close({ revoke: true });
  }

  /** Stops everything. Units run on unless `drain` is set; see {@link Agent.leave}. The store stays open. */
  async stop(options: LeaveOptions = {}): Promise<void> {
    await this.#api[Symbol.asyncDispose]();
    this.#stop.abort();
    this.#daemons.stop.abort();
    await Promise.all([this.#following.catch(() => {}), this.#daemons.runs.catch(() => {})]);
    await this.agent.leave(options);
  }

  #startDaemons(options: FleetdOptions): Daemons {
    const { store, manager, memory, clock, logger, machine, ttlMs, launchProof } = options;
    const { registry } = this;
    // A socket is an address for the other fleetds of one host, as in tests and demonstrations.
    const ownUrl = ["http://", "unix://"]
      .map((scheme) => this.urls.find((url) => url.startsWith(scheme)))
      .find(Boolean);
    const identity = { ...(ownUrl === undefined ? {} : { apiUrl: ownUrl }), ...machine };
    const ttl = ttlMs === undefined ? {} : { ttlMs };
    const proof = launchProof === undefined ? {} : { launchProof };
    const agent = new Agent({ store, registry, manager, memory, clock, logger, machine: identity, ...ttl, ...proof });
    const engine = new Engine({
      store,
      registry,
      clock,
      logger,
      machineId: machine.id,
      metrics: this.#metrics,
      ...ttl,
    });
    const stop = new AbortController();
    const parts = [agent.run(stop.signal)];
    if (options.hasEngine ?? true) parts.push(engine.run(stop.signal));
    const runs = Promise.all(parts);
    runs.catch(this.#fail);
    return { agent, engine, stop, runs };
  }
}

async function listenAll(api: ApiServer, listen: readonly string[]): Promise<string[]> {
  const urls: string[] = [];
  try {
    for (const url of listen) urls.push(await api.listen(url));
  } catch (error) {
    await api[Symbol.asyncDispose]();
    throw error;
  }
  return urls;
}
