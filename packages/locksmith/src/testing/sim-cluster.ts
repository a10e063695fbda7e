import { CALM_LINK, type LinkOptions, type Prng, runSim, SimClock, SimNetwork, type Trace } from "@keelson/testkit";
import { silentLogger } from "@keelson/types";
import { type GroupState, readGroup } from "../core/group.ts";
import { groupKeys, LEAVING_KEY } from "../core/keys.ts";
import { freeSlots } from "../core/semaphore.ts";
import { Semaphore } from "../semaphore.ts";
import { MemoryLockServer } from "../store/memory-store.ts";
import type { LockStore } from "../store/port.ts";
import { SimMachine } from "./sim-machine.ts";
import { SERVER, SimLockStore, type StoreMessage, serve } from "./sim-store.ts";

export interface SimClusterOptions {
  readonly rng: Prng;
  readonly trace: Trace;
  readonly machines: number;
  /** So many of them, the first ones, are members of etcd. */
  readonly members: number;
  readonly max: number;
  /** Puts a defect between the machines and the store; see the tests of the simulator itself. */
  readonly breakStore?: (store: LockStore) => LockStore;
}

/** What a run has seen happen. */
export interface SimCounts {
  reboots: number;
  locks: number;
  reaps: number;
  faults: number;
  lostHolds: number;
  quorumRefusals: number;
  revisions: number;
}

/** Times are an eighth of the real ones. */
export const HOLD_TTL_MS = 112_000;
const WAITER_TTL_MS = 8_000;

const BAD_LINK: LinkOptions = {
  delayMinMs: 0.5,
  delayMaxMs: 200,
  tailChance: 0.05,
  tailMaxMs: 8_000, // longer than a request waits: the answer comes too late
  loss: 0.1,
  duplication: 0.05,
  reorder: 0.2,
};

/**
 * Machines that all want to reboot, a store that serves as long as a majority of its members is up, and whatever can go
 * wrong between them. Its checks are the definition of safe:
 *
 * 1. Who believes to hold stands in the semaphore, under the lease it believes in.
 * 2. Nobody is added beyond the maximum.
 * 3. Nobody is added before waiters that came earlier, unless there are slots for them too.
 * 4. Nobody is removed whose lease runs while it believes to hold, or is down by permission.
 * 5. A member that goes down by permission leaves a majority of members that were well when it asked.
 */
export class SimCluster {
  readonly clock = new SimClock();
  readonly network: SimNetwork<string, StoreMessage>;
  readonly server: MemoryLockServer;
  readonly machines: readonly SimMachine[];
  readonly counts: SimCounts = {
    reboots: 0,
    locks: 0,
    reaps: 0,
    faults: 0,
    lostHolds: 0,
    quorumRefusals: 0,
    revisions: 0,
  };
  readonly rng: Prng;
  readonly #trace: Trace;
  readonly #options: SimClusterOptions;
  readonly #keys = groupKeys("");
  #state: GroupState;
  #hasLeader = true;
  #isHealed = false;
  #violation: Error | undefined;

  constructor(options: SimClusterOptions) {
    this.rng = options.rng;
    this.#options = options;
    this.#trace = options.trace;
    const { clock, rng } = this;
    this.network = new SimNetwork<string, StoreMessage>({ clock, rng: rng.fork("network"), link: BAD_LINK });
    this.server = new MemoryLockServer(clock.view({ driftPpm: rng.between(-500, 500) }));
    serve(this.server, this.network, () => this.isServing);
    const semaphore = `{"semaphore":${options.max},"max":${options.max},"holders":null}`;
    this.server.commit([], [{ type: "put", key: this.#keys.semaphore, value: semaphore }]);
    this.#state = this.#read();
    this.server.onChange(() => this.#onChange());
    this.machines = Array.from({ length: options.machines }, (_, i) => new SimMachine(this, `m${i + 1}`));
    for (const machine of this.machines) machine.boot();
  }

  get membersCount(): number {
    return this.#options.members;
  }

  get members(): readonly SimMachine[] {
    return this.machines.slice(0, this.#options.members);
  }

  get state(): GroupState {
    return this.#state;
  }

  /** Whether etcd has a majority. */
  get isServing(): boolean {
    return this.members.filter((machine) => machine.isWell).length >= this.majority;
  }

  get majority(): number {
    return Math.floor(this.#options.members / 2) + 1;
  }

  store(id: string, clock: ConstructorParameters<typeof SimLockStore>[1]): { store: LockStore; close: () => void } {
    const plain = new SimLockStore(this.network, clock, id);
    return { store: this.#options.breakStore?.(plain) ?? plain, close: () => plain[Symbol.dispose]() };
  }

  semaphore(store: LockStore, clock: ConstructorParameters<typeof SimLockStore>[1], id: string): Semaphore {
    const random = this.rng.fork(`random ${id} ${this.clock.eventsRun}`);
    const ttls = { holdTtlMs: HOLD_TTL_MS, waiterTtlMs: WAITER_TTL_MS };
    return new Semaphore({ store, clock, random, logger: silentLogger, ...ttls });
  }

  log(type: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#trace.add({ t: Math.round(this.clock.monotonicMs()), type, ...fields });
  }

  fail(what: string): void {
    this.#violation ??= new Error(what);
  }

  /** After each change of what is well: etcd gains or loses its majority. */
  onMachineChange(): void {
    if (this.isServing === this.#hasLeader) return;
    this.#hasLeader = this.isServing;
    this.log(this.#hasLeader ? "etcd has a leader" : "etcd has no majority");
    if (this.#hasLeader) this.server.electLeader();
    else this.server.loseLeader();
  }

  /** Runs until `untilMs`, or until `until` holds. @throws when a check fails */
  async run(untilMs: number, until?: () => boolean): Promise<boolean> {
    const check = () => {
      for (const machine of this.machines) this.#checkBelief(machine);
      if (this.#violation !== undefined) throw this.#violation;
    };
    const result = await runSim(this.clock, { untilMs, check, ...(until === undefined ? {} : { until }) });
    return result === "until";
  }

  /** Faults one after the other until `untilMs`. */
  scheduleFaults(untilMs: number): void {
    const next = () => {
      if (this.clock.monotonicMs() >= untilMs || this.#isHealed) return;
      this.counts.faults++;
      this.#fault(this.rng.pick(this.machines));
      this.clock.after(this.rng.between(2_000, 40_000), next);
    };
    this.clock.after(this.rng.between(0, 20_000), next);
  }

  /** Nothing goes wrong any more; `dead` stay dead. */
  heal(dead: readonly SimMachine[]): void {
    this.log("healed");
    this.#isHealed = true;
    this.network.heal();
    this.network.setLink(CALM_LINK);
    for (const machine of this.machines) {
      if (dead.includes(machine)) machine.crash(Number.POSITIVE_INFINITY);
      else machine.heal();
    }
    this.onMachineChange();
  }

  #fault(machine: SimMachine): void {
    const { rng } = this;
    const long = () => (rng.chance(0.25) ? rng.between(HOLD_TTL_MS, 2 * HOLD_TTL_MS) : rng.between(500, 30_000));
    switch (rng.below(6)) {
      case 0:
      case 1:
        return machine.crash(long());
      case 2:
        return machine.pauseFor(long());
      case 3:
      case 4:
        return machine.cutFor(long(), rng.pick(["both", "to", "from"] as const));
      default:
        return void this.#administer(rng.pick(["reap", "raise", "lower"] as const));
    }
  }

  /** What people do at any time, from a machine of their own. */
  async #administer(what: "reap" | "raise" | "lower"): Promise<void> {
    const id = `admin${this.clock.eventsRun}`;
    const { store, close } = this.store(id, this.clock);
    const semaphore = this.semaphore(store, this.clock, id);
    this.log("admin", { what });
    try {
      if (what === "reap") await semaphore.reap(id);
      else await semaphore.setMax(Math.max(1, this.#state.semaphore.max + (what === "raise" ? 1 : -1)));
    } catch {
      // etcd did not answer, or others were faster
    } finally {
      close();
    }
  }

  #checkBelief(machine: SimMachine): void {
    const hold = machine.belief;
    if (hold === undefined) return;
    const holder = this.#state.holders.find(({ id }) => id === machine.id);
    const lease = holder?.lease.toString(16);
    if (lease === hold.lease) return;
    this.fail(
      `${machine.id} believes to hold under lease ${hold.lease}, but in the store it is ${lease ?? "no holder"}`,
    );
  }

  #onChange(): void {
    const before = this.#state;
    this.#state = this.#read();
    this.counts.revisions++;
    const { holders, semaphore } = this.#state;
    const added = semaphore.holders.filter((id) => !before.semaphore.holders.includes(id));
    for (const id of added) this.#checkAdded(before, id);
    for (const holder of before.holders) {
      if (!semaphore.holders.includes(holder.id)) this.#checkRemoved(holder.id, holder.kind);
    }
    for (const holder of holders) {
      if (holder.kind !== "stale" || before.holders.some((h) => h.id === holder.id && h.kind === "stale")) continue;
      this.log("lease ended", { id: holder.id });
      if (this.machines.find(({ id }) => id === holder.id)?.isUp === true) this.counts.lostHolds++;
    }
  }

  #checkAdded(before: GroupState, id: string): void {
    this.counts.locks++;
    this.log("locked", { id, holders: this.#state.semaphore.holders });
    const { max, holders } = this.#state.semaphore;
    if (holders.length > max) this.fail(`${id} was added beyond the maximum of ${max}: ${holders.join(", ")}`);
    const mine = before.waiters.findIndex((waiter) => waiter.id === id);
    const ahead = mine === -1 ? before.waiters.length : mine;
    if (ahead >= freeSlots(before.semaphore)) this.fail(`${id} was added before ${ahead} that came earlier`);
  }

  #checkRemoved(id: string, kind: string): void {
    this.log("unlocked", { id, kind });
    const machine = this.machines.find((m) => m.id === id);
    if (kind === "stale") this.counts.reaps++;
    else if (machine?.isEntitled === true) this.fail(`${id} was removed although its lease runs and it needs its slot`);
  }

  #read(): GroupState {
    const { revision, entries } = this.server.read([{ prefix: this.#keys.prefix }, { key: LEAVING_KEY }]);
    return readGroup(this.#keys, revision, entries);
  }

  /** For a machine: how the members are, if it can reach etcd. */
  look(asker: SimMachine) {
    const members = this.members.map(({ id, isWell }) => ({ id, name: id, isVoter: true, isHealthy: isWell }));
    return { members, self: this.members.includes(asker) ? asker.id : undefined };
  }

  /** Whether the way between a machine and etcd is whole. */
  isCut(id: string): boolean {
    return this.network.isCut(id, SERVER) || this.network.isCut(SERVER, id);
  }
}
