import fc from "fast-check";
import { expect, it } from "vitest";
import type { RevisionEvents, Watcher, WatchRequest } from "./index.ts";
import { bytesToKey, keyRange, MemoryBackend, type MvccEvent, MvccStore, rangeContains, WatchHub } from "./index.ts";

/*
 * The guarantees of etcd's watch, as properties under random slow pulls, compactions, cancels and resumes: every event once,
 * in order, whole revisions, from the start asked; a watcher that cannot have that is told so and by which compaction.
 */

const bytes = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0));
const key = fc.constantFrom("a", "aa", "b", "bb", "c").map(bytes);
const end = fc.constantFrom("", "", "\0", "b", "c", "d").map(bytes);

const step = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      puts: fc.uniqueArray(key, { maxLength: 3, selector: bytesToKey }),
      value: fc.string({ maxLength: 4 }).map(bytes),
      deletes: fc.option(fc.record({ key, end })),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("create" as const),
      key,
      end,
      back: fc.integer({ min: -3, max: 8 }),
      filters: fc.subarray(["noput", "nodelete"] as const),
      prevKv: fc.boolean(),
      fragment: fc.boolean(),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("pull" as const), who: fc.nat(9), max: fc.nat(200) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("compact" as const), back: fc.nat(5), scrub: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cancel" as const), who: fc.nat(9) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface Client {
  readonly request: WatchRequest;
  readonly start: number;
  readonly watcher: Watcher;
  readonly got: MvccEvent[];
  /** Set when the hub gave up on it. */
  compacted?: number;
  /** Inside a split revision. */
  inFragment: boolean;
  /** Notified, not yet drained. */
  ready: boolean;
}

class World {
  readonly store = new MvccStore({ backend: new MemoryBackend(), prefix: 9 });
  readonly hub: WatchHub;
  readonly history: RevisionEvents[] = [];
  readonly clients: Client[] = [];

  constructor(limits: { maxRevisions: number; maxRevisionsPerPull: number }) {
    this.hub = new WatchHub({ source: this.store, ...limits });
  }

  run(s: Step): void {
    if (s.kind === "write") this.#write(s);
    else if (s.kind === "create") {
      const { kind: _kind, back, ...rest } = s;
      this.#create({ id: 0, ...rest, startRevision: Math.max(0, this.store.revision - back) });
    } else if (s.kind === "compact") {
      const target = this.store.revision - s.back;
      if (target > this.store.compactRevision) this.store.compact(target);
      if (s.scrub > 0) this.store.scrub(s.scrub);
    } else if (this.clients.length > 0) {
      const client = this.clients[s.who % this.clients.length] as Client;
      if (client.compacted !== undefined) return;
      if (s.kind === "pull") this.pull(client, s.max);
      else this.#resume(client);
    }
  }

  #write(s: Step & { kind: "write" }): void {
    const names = s.puts.map(bytesToKey);
    const range = s.deletes === null ? undefined : keyRange(s.deletes.key, s.deletes.end);
    const puts = s.puts.filter((_, i) => range === undefined || !rangeContains(range, names[i] as string));
    const { changes } = this.store.txn({
      compare: [],
      success: [
        ...puts.map((k) => ({ type: "put" as const, put: { key: k, value: s.value } })),
        ...(s.deletes === null ? [] : [{ type: "deleteRange" as const, deleteRange: s.deletes }]),
      ],
      failure: [],
    });
    if (changes === undefined) return;
    this.history.push(changes);
    this.hub.notify(changes);
  }

  /** Adds a client, perhaps one that goes on with what it has. */
  #create(request: WatchRequest, from?: Client): void {
    const self: { client?: Client } = {};
    const onReady = () => {
      // Told once, and not again before all has been pulled.
      expect(self.client?.ready).toBe(false);
      (self.client as Client).ready = true;
    };
    const created = this.hub.create({ ...request, onReady });
    const asked = request.startRevision ?? 0;
    if (created.type === "compacted") expect(asked).toBeLessThan(this.store.compactRevision);
    if (created.type !== "created") return;
    const start = from?.start ?? (asked === 0 ? this.store.revision + 1 : asked);
    const { watcher } = created;
    const got = [...(from?.got ?? [])];
    self.client = { request, start, watcher, got, inFragment: false, ready: !watcher.synced };
    this.clients.push(self.client);
  }

  pull(client: Client, max: number): boolean {
    const pulled = this.hub.pull(client.watcher, max);
    if (pulled.type === "compacted") {
      client.compacted = pulled.compactRevision;
      return false;
    }
    if (pulled.type === "events") {
      expect(client.ready).toBe(true);
      if (pulled.fragment) expect(client.request.fragment).toBe(true);
      client.got.push(...pulled.events);
      client.inFragment = pulled.fragment;
      const last = client.got.at(-1) as MvccEvent;
      expect(pulled.revision).toBeGreaterThanOrEqual(last.kv.modRevision);
      // Whole revisions, and nothing held back below the revision that was reported.
      const upTo = pulled.fragment ? pulled.revision - 1 : pulled.revision;
      const count = this.expected(client).filter((e) => e.kv.modRevision <= upTo).length;
      expect(client.got.filter((e) => e.kv.modRevision <= upTo).length).toBe(count);
      if (!pulled.fragment) expect(client.got.length).toBe(count);
    }
    if (!pulled.more) client.ready = false;
    const mayProgress = client.watcher.synced && (client.request.startRevision ?? 0) <= this.store.revision;
    expect(this.hub.progress(client.watcher)).toBe(mayProgress ? this.store.revision : undefined);
    return pulled.more;
  }

  /** Disconnects a client and goes on from the revision after the last complete one that it has. */
  #resume(client: Client): void {
    if (client.inFragment) return;
    this.hub.cancel(client.watcher);
    this.clients.splice(this.clients.indexOf(client), 1);
    const last = client.got.at(-1)?.kv.modRevision;
    const startRevision = last === undefined ? client.start : last + 1;
    this.#create({ ...client.request, startRevision }, client);
  }

  expected({ request, start }: Client): MvccEvent[] {
    const range = keyRange(request.key, request.end);
    return this.history
      .filter((h) => h.revision >= start)
      .flatMap((h) => h.events)
      .filter((e) => rangeContains(range, e.name))
      .filter((e) => !request.filters?.includes(e.type === "put" ? "noput" : "nodelete"));
  }

  finish(): void {
    for (const client of this.clients) {
      for (let n = 0; client.compacted === undefined && this.pull(client, 100); n++) expect(n).toBeLessThan(10_000);
      const plain = (events: readonly MvccEvent[]) =>
        events.map((e) => [e.type, e.name, e.kv.modRevision, bytesToKey(e.kv.value), e.kv.version]);
      const expected = plain(this.expected(client));
      if (client.compacted === undefined) expect(plain(client.got)).toEqual(expected);
      else expect(plain(client.got)).toEqual(expected.slice(0, client.got.length));
      if (client.compacted !== undefined) expect(client.compacted).toBeGreaterThan(client.watcher.nextRevision);
    }
  }
}

it.each([
  ["a long memory", { maxRevisions: 1000, maxRevisionsPerPull: 1000 }],
  ["hardly any memory", { maxRevisions: 1, maxRevisionsPerPull: 3 }],
])("delivers every event once, in order and in whole revisions, with %s", (_title, limits) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: "max" }), (steps) => {
      const world = new World(limits);
      for (const s of steps) world.run(s);
      world.finish();
    }),
    { numRuns: 100 },
  );
});
