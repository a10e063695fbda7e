import type { Watcher } from "@keelson/mvcc";
import type { Prng, SimClock } from "@keelson/testkit";
import { assert } from "@keelson/types";
import type { EtcdServer } from "../../src/index.ts";
import type { SimMember } from "./sim-member.ts";

const EVERYTHING = new Uint8Array([0]);
const PULL_BYTES_MAX = 4_096;

/** What all watchers together saw at each revision: it must be the same for each. */
export type SeenEvents = Map<number, string>;

/**
 * Follows the whole key space from the first revision on, at one member after another, as a client does that resumes at its
 * last revision + 1. Every step checks that what it sees is ordered, unique, whole and what others saw.
 */
export class SimWatcher {
  readonly #members: readonly SimMember[];
  readonly #clock: SimClock;
  readonly #rng: Prng;
  readonly #seen: SeenEvents;
  #stopping = false;
  /** Everything up to here was seen. */
  revision = 1;

  constructor(options: {
    members: readonly SimMember[];
    clock: SimClock;
    rng: Prng;
    seen: SeenEvents;
    onFailure: (error: unknown) => void;
  }) {
    this.#members = options.members;
    this.#clock = options.clock;
    this.#rng = options.rng;
    this.#seen = options.seen;
    this.#run().catch(options.onFailure);
  }

  stop(): void {
    this.#stopping = true;
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      await this.#clock.sleep(this.#rng.between(10, 200));
      const member = this.#rng.pick(this.#members);
      if (member.server?.isStarted === true) await this.#follow(member, member.server);
    }
  }

  async #follow(member: SimMember, server: EtcdServer): Promise<void> {
    const { hub } = server;
    const created = hub.create({ id: 1, key: EVERYTHING, end: EVERYTHING, startRevision: this.revision + 1 });
    if (created.type !== "created") return;
    const untilMs = this.#clock.monotonicMs() + this.#rng.between(200, 3_000);
    while (member.server === server && !this.#stopping && this.#clock.monotonicMs() < untilMs) {
      this.#pull(server, created.watcher);
      await this.#clock.sleep(this.#rng.between(5, 60));
    }
    if (member.server === server) hub.cancel(created.watcher);
  }

  #pull({ hub }: EtcdServer, watcher: Watcher): void {
    const pulled = hub.pull(watcher, PULL_BYTES_MAX);
    if (pulled.type !== "events") return;
    const byRevision = Map.groupBy(pulled.events, (event) => event.kv.modRevision);
    for (const [revision, events] of byRevision) {
      assert(revision > this.revision, "a watch is ordered and repeats nothing", { revision, seen: this.revision });
      this.revision = revision;
      const text = events
        .map(
          (event) =>
            `${event.type} ${event.name} ${Buffer.from(event.kv.value).toString("latin1")} v${event.kv.version}`,
        )
        .join("; ");
      const others = this.#seen.getOrInsert(revision, text);
      assert(others === text, "every watcher sees the same at a revision", { revision, others, text });
    }
  }
}
