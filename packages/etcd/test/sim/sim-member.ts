import type { KvStore } from "@keelson/storage";
import { SimStore } from "@keelson/storage/sim";
import { type Prng, type SimClock, type SimClockView, SimDisk, type SimNetwork, type Trace } from "@keelson/testkit";
import type { Logger, MemberId } from "@keelson/types";
import { DEFAULT_CONFIG, EtcdServer, memberIdOf, type ServerConfig } from "../../src/index.ts";
import type { Invariants } from "./sim-invariants.ts";
import { type Packet, SimTransport } from "./sim-transport.ts";

export const TOKEN = "sim";

/** Changes a member into one that is broken on purpose, to show that the checks find it. */
export interface Sabotage {
  /** Wraps the disk, for example to forget fsyncs. */
  readonly store?: (store: KvStore) => KvStore;
  /** Reads are answered without asking a majority. */
  readonly readWithoutReadIndex?: boolean;
}

export interface SimMemberOptions {
  readonly name: string;
  readonly names: readonly string[];
  readonly clock: SimClock;
  readonly network: SimNetwork<MemberId, Packet>;
  readonly rng: Prng;
  readonly trace: Trace;
  readonly sabotage: Sabotage;
  readonly invariants: Invariants;
}

const urlOf = (name: string): string => `http://${name}:2380`;

/** A machine with a disk and one etcd member, which dies and comes back. */
export class SimMember {
  readonly id: MemberId;
  readonly name: string;
  readonly disk: SimDisk;
  readonly #options: SimMemberOptions;
  #server: EtcdServer | undefined;
  #transport: SimTransport | undefined;
  #view: SimClockView | undefined;
  #lives = 0;
  #death = Promise.withResolvers<void>();
  /** Set when the member ended itself, as a real one exits. */
  failure: Error | undefined;

  constructor(options: SimMemberOptions) {
    this.#options = options;
    this.name = options.name;
    this.id = memberIdOf([urlOf(options.name)], TOKEN);
    this.disk = new SimDisk({ rng: options.rng.fork("disk"), fsyncMaxMs: 4, stallChance: 0.002, stallMs: 300 });
  }

  get isUp(): boolean {
    return this.#server !== undefined;
  }

  /** The running server. */
  get server(): EtcdServer | undefined {
    return this.#server;
  }

  get view(): SimClockView | undefined {
    return this.#view;
  }

  /** Resolves when this life ends. */
  get death(): Promise<void> {
    return this.#death.promise;
  }

  /** Starts a new life on the disk. Rejects when the member refuses it. */
  async start(): Promise<void> {
    const { name, names, clock, network, rng, sabotage, invariants } = this.#options;
    const life = ++this.#lives;
    const own = rng.fork(`life ${life}`);
    this.#death = Promise.withResolvers<void>();
    this.failure = undefined;
    const view = clock.view({ driftPpm: own.between(-200, 200), offsetMs: own.between(-500, 500) });
    const transport = new SimTransport({ id: this.id, network, clock: view, life, onSend: (m) => invariants.sent(m) });
    const store = new SimStore({ disk: this.disk, clock: view });
    const config: ServerConfig = {
      ...DEFAULT_CONFIG,
      name,
      advertiseClientUrls: [`http://${name}:2379`],
      advertisePeerUrls: [urlOf(name)],
      initialCluster: new Map(names.map((other) => [other, [urlOf(other)]])),
      initialClusterToken: TOKEN,
      // Small, so that logs are compacted and snapshots sent within a short run.
      snapshotCount: 40,
      snapshotCatchUpEntries: 10,
    };
    const server = new EtcdServer({
      config,
      clock: view,
      random: own.fork("server"),
      store: sabotage.store === undefined ? store : sabotage.store(store),
      transport,
      logger: this.#logger(),
      events: {
        onFailure: (error) => {
          if (this.#server !== server) return;
          this.#trace("failed", { error });
          this.failure = error;
          this.#end();
        },
      },
    });
    this.#view = view;
    this.#transport = transport;
    this.#server = server;
    this.#trace("start", { life });
    await server.start();
  }

  /** Cuts the machine's power. */
  cutPower(): void {
    this.#end();
    const report = this.disk.crash(this.#options.rng);
    this.#trace("power cut", { ...report });
  }

  /** Kills the process; what the kernel holds survives. */
  killProcess(): void {
    this.#end();
    this.disk.killProcess();
    this.#trace("killed", {});
  }

  #end(): void {
    this.#server = undefined;
    this.#transport?.kill();
    this.#view?.[Symbol.dispose]();
    this.#death.resolve();
  }

  #trace(what: string, fields: Readonly<Record<string, unknown>>): void {
    this.#options.trace.add({ t: this.#options.clock.monotonicMs(), type: what, member: this.name, ...fields });
  }

  #logger(): Logger {
    const line = (msg: string, fields?: Readonly<Record<string, unknown>>) => this.#trace("log", { msg, ...fields });
    const logger: Logger = { debug() {}, info: line, warn: line, error: line, child: () => logger };
    return logger;
  }
}
