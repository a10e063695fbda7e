import { SimClock } from "@keelson/testkit";
import { type Logger, silentLogger, type UnitName } from "@keelson/types";
import { parseOptions } from "@keelson/unit";
import { Agent, type LeaveOptions } from "../agent/agent.ts";
import { MemoryAgentMemory } from "../agent/record.ts";
import type { DesiredState } from "../core/model.ts";
import { Engine } from "../engine/engine.ts";
import { Registry } from "../registry/registry.ts";
import { RegistryWriter } from "../registry/writer.ts";
import { MemoryEtcd } from "../store/memory-etcd.ts";
import { MemoryFleetStore } from "../store/memory-store.ts";
import { FakeUnitManager } from "./fake-unit-manager.ts";

export interface SimMachineOptions {
  readonly metadata?: Record<string, string>;
  readonly hasEngine?: boolean;
  readonly logger?: Logger;
  readonly instance?: string;
}

/** One fleetd on a simulated machine: engine and agent over one registry; the unit manager outlives it. */
export class SimMachine {
  readonly id: string;
  manager: FakeUnitManager;
  store: MemoryFleetStore;
  registry: Registry;
  agent: Agent;
  engine: Engine;
  readonly #fleet: SimFleet;
  readonly #options: SimMachineOptions;
  readonly #memory: MemoryAgentMemory;
  #stop = new AbortController();
  #isUp = true;
  #runs: Promise<unknown> = Promise.resolve();

  constructor(fleet: SimFleet, id: string, options: SimMachineOptions) {
    this.#fleet = fleet;
    this.#options = options;
    this.id = id;
    this.manager = new FakeUnitManager(fleet.clock);
    this.#memory = new MemoryAgentMemory(options.instance ?? `instance-${id}-${fleet.machines.length}`);
    ({ store: this.store, registry: this.registry, agent: this.agent, engine: this.engine } = this.#make());
    this.#start();
  }

  /** Whether fleetd runs. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** Cuts the power: nothing it does gets anywhere any more, and its units are gone. */
  kill(): void {
    this.store.setConnected(false);
    this.#stop.abort();
    this.#isUp = false;
    this.manager = new FakeUnitManager(this.#fleet.clock);
  }

  /** SIGKILL of fleetd alone. */
  killFleetd(): void {
    this.store.setConnected(false);
    this.#stop.abort();
    this.#isUp = false;
  }

  /** SIGTERM of fleetd. */
  async stopFleetd(options: LeaveOptions = {}): Promise<void> {
    this.#stop.abort();
    this.#isUp = false;
    await this.#runs;
    await this.agent.leave(options);
  }

  /** Starts fleetd (again). */
  startFleetd(): void {
    this.#stop = new AbortController();
    this.#isUp = true;
    ({ store: this.store, registry: this.registry, agent: this.agent, engine: this.engine } = this.#make());
    this.#start();
  }

  #make() {
    const { clock, etcd } = this.#fleet;
    const { logger = silentLogger, metadata = {} } = this.#options;
    const store = new MemoryFleetStore({ etcd, clock });
    const registry = new Registry({ store, clock, logger });
    const { id, manager } = this;
    const machine = { id, publicIp: `10.0.0.${this.#fleet.machines.length + 1}`, metadata };
    const agent = new Agent({ store, registry, manager, memory: this.#memory, clock, logger, machine });
    const engine = new Engine({ store, registry, clock, logger, machineId: id });
    return { store, registry, agent, engine };
  }

  #start(): void {
    const { signal } = this.#stop;
    const parts = [this.registry.run(signal), this.agent.run(signal)];
    if (this.#options.hasEngine ?? true) parts.push(this.engine.run(signal));
    this.#runs = Promise.all(parts);
    this.#runs.catch((error: unknown) => this.#fleet.failures.push(error));
  }
}

/** A whole fleet in one process, on one simulated clock and store. */
export class SimFleet implements AsyncDisposable {
  readonly clock = new SimClock();
  readonly etcd = new MemoryEtcd(this.clock);
  readonly machines: SimMachine[] = [];
  /** Errors that no part of fleet may let out. */
  readonly failures: unknown[] = [];
  readonly #registry: Registry;
  readonly writer: RegistryWriter;
  readonly #stop = new AbortController();

  constructor() {
    const store = new MemoryFleetStore({ etcd: this.etcd, clock: this.clock });
    this.#registry = new Registry({ store, clock: this.clock, logger: silentLogger });
    this.writer = new RegistryWriter(this.#registry);
    this.#registry.run(this.#stop.signal).catch((error: unknown) => this.failures.push(error));
  }

  /** Adds a machine and starts it. */
  add(id: string, options: SimMachineOptions = {}): SimMachine {
    const machine = new SimMachine(this, id, options);
    this.machines.push(machine);
    return machine;
  }

  /** As `fleetctl start`, `load` or `submit`. */
  async submit(name: UnitName, text = "", desired: DesiredState = "launched"): Promise<void> {
    const options = parseOptions(`[Service]\nExecStart=run\n${text}\n`);
    await this.drive(this.writer.putUnit(name, options, desired));
  }

  setDesired(name: UnitName, desired: DesiredState): Promise<boolean> {
    return this.drive(this.writer.setDesired(name, desired));
  }

  destroy(name: UnitName): Promise<boolean> {
    return this.drive(this.writer.destroyUnit(name));
  }

  /** Lets time pass while a promise is waited for. */
  async drive<T>(promise: Promise<T>): Promise<T> {
    let isDone = false;
    const end = () => void (isDone = true);
    promise.then(end, end);
    for (let i = 0; !isDone && i < 100_000; i++) {
      await this.clock.settle();
      if (!isDone) this.clock.step();
    }
    return await promise;
  }

  /** Lets this much time pass. */
  async run(ms: number): Promise<void> {
    await this.clock.runAsync(this.clock.monotonicMs() + ms);
    if (this.failures.length > 0) throw this.failures[0];
  }

  /** Lets time pass until something is so; returns how long it took, in milliseconds. */
  async until(what: string, check: () => boolean, maxMs = 60_000): Promise<number> {
    const startMs = this.clock.monotonicMs();
    for (;;) {
      await this.clock.settle();
      if (this.failures.length > 0) throw this.failures[0];
      if (check()) return this.clock.monotonicMs() - startMs;
      if (this.clock.monotonicMs() - startMs > maxMs || !this.clock.step()) {
        throw new Error(`not within ${maxMs} ms: ${what}; units are at ${JSON.stringify(this.where())}`);
      }
    }
  }

  /** Which units run on which machine. */
  where(): Record<string, string[]> {
    return Object.fromEntries(this.machines.map((machine) => [machine.id, machine.manager.running()]));
  }

  /** Machines on which a unit runs. */
  hosts(name: UnitName): string[] {
    return this.machines.filter((machine) => machine.manager.running().includes(name)).map((machine) => machine.id);
  }

  /** All keys of the store. */
  keys(): string[] {
    return this.etcd.read("").entries.map((entry) => entry.key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const machine of this.machines) machine.kill();
    this.#stop.abort();
    await this.run(10_000);
  }
}
