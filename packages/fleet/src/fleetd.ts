import type { Clock, Logger } from "@keelson/types";
import type { UnitManager } from "@keelson/unit";
import { Agent, type LeaveOptions, type MachineIdentity } from "./agent/agent.ts";
import type { AgentMemoryStore } from "./agent/record.ts";
import { ApiServer } from "./api/server.ts";
import { Engine } from "./engine/engine.ts";
import { Metrics } from "./metrics.ts";
import { Registry } from "./registry/registry.ts";
import { RegistryWriter } from "./registry/writer.ts";
import type { FleetStore } from "./store/port.ts";

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

/** One machine's fleetd: registry, engine, agent and API over one store and one unit manager. */
export class Fleetd {
  readonly agent: Agent;
  readonly engine: Engine;
  readonly registry: Registry;
  /** Where the API listens. */
  readonly urls: readonly string[];
  /** Rejects when a part fails in a way that is not provided for; then the process should end. */
  readonly failed: Promise<never>;
  readonly #api: ApiServer;
  readonly #stop: AbortController;
  readonly #runs: Promise<unknown>;

  private constructor(parts: {
    readonly agent: Agent;
    readonly engine: Engine;
    readonly registry: Registry;
    readonly urls: readonly string[];
    readonly api: ApiServer;
    readonly stop: AbortController;
    readonly runs: Promise<unknown>;
  }) {
    this.agent = parts.agent;
    this.engine = parts.engine;
    this.registry = parts.registry;
    this.urls = parts.urls;
    this.#api = parts.api;
    this.#stop = parts.stop;
    this.#runs = parts.runs;
    this.failed = new Promise((_, reject) => void this.#runs.catch(reject));
    this.failed.catch(() => {});
  }

  /** Listens, and starts everything else in the background: it need not reach the store yet. @throws ConfigError */
  static async start(options: FleetdOptions): Promise<Fleetd> {
    const { store, manager, memory, clock, logger, machine, keyPrefix, ttlMs, launchProof } = options;
    const metrics = new Metrics();
    const registry = new Registry({ store, clock, logger, ...(keyPrefix === undefined ? {} : { keyPrefix }) });
    const writer = new RegistryWriter(registry);
    const late: { agent?: Agent } = {};
    const api = new ApiServer({
      registry,
      writer,
      manager,
      machineId: machine.id,
      metrics,
      clock,
      logger,
      tokenLimit: options.tokenLimit ?? 100,
      problem: () => (late.agent === undefined ? "starting" : late.agent.problem),
    });
    const urls = await listenAll(api, options.listen);
    const ownUrl = urls.find((url) => url.startsWith("http://"));
    const identity = { ...(ownUrl === undefined ? {} : { apiUrl: ownUrl }), ...machine };
    const ttl = ttlMs === undefined ? {} : { ttlMs };
    const proof = launchProof === undefined ? {} : { launchProof };
    const agent = new Agent({ store, registry, manager, memory, clock, logger, machine: identity, ...ttl, ...proof });
    late.agent = agent;
    const engine = new Engine({ store, registry, clock, logger, machineId: machine.id, metrics, ...ttl });
    const stop = new AbortController();
    const parts = [registry.run(stop.signal), agent.run(stop.signal)];
    if (options.hasEngine ?? true) parts.push(engine.run(stop.signal));
    return new Fleetd({ agent, engine, registry, urls, api, stop, runs: Promise.all(parts) });
  }

  /** Stops everything. Units run on unless `drain` is set; see {@link Agent.leave}. The store stays open. */
  async stop(options: LeaveOptions = {}): Promise<void> {
    await this.#api[Symbol.asyncDispose]();
    this.#stop.abort();
    await this.#runs.catch(() => {});
    await this.agent.leave(options);
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
