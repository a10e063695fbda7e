import { eventually } from "@keelson/testkit";
import { describe, expect, it } from "vitest";
import { StoreCompactedError } from "../errors.ts";
import type { FleetStore, StoreBatch, StoreSession, Write } from "./port.ts";

/** A store under test. */
export interface StoreUnderTest extends AsyncDisposable {
  /** Another client of the same store, disposed with it. */
  client(): FleetStore;
  /** Forgets all history. */
  compact(): Promise<void>;
}

/** What every {@link FleetStore} must do. `ttlMs`: the shortest lease that the store grants. */
export function describeFleetStore(name: string, ttlMs: number, open: () => Promise<StoreUnderTest>): void {
  const put = (key: string, value: string, session?: StoreSession): Write =>
    session === undefined ? { type: "put", key, value } : { type: "put", key, value, session };
  const values = async (store: FleetStore, prefix = "/t/") =>
    (await store.read(prefix)).entries.map(({ key, value }) => `${key}=${value}`);
  const forever = () => new AbortController().signal;

  describe(`${name} as a FleetStore`, () => {
    it("reads a prefix in the order of its keys, at one revision", async () => {
      await using under = await open();
      const store = under.client();
      const { revision } = await store.commit([], [put("/t/b", "2"), put("/t/a", "1"), put("/other", "x")]);
      expect(await values(store)).toEqual(["/t/a=1", "/t/b=2"]);
      const snapshot = await store.read("/t/");
      expect(snapshot.revision).toBe(revision);
      expect(snapshot.entries[0]).toMatchObject({ createRevision: revision, modRevision: revision });
      expect((await store.read("/none/")).entries).toEqual([]);
    });

    it("writes all or nothing, under conditions on creation and last change", async () => {
      await using under = await open();
      const store = under.client();
      const first = await store.commit([{ key: "/t/a", createRevision: 0 }], [put("/t/a", "1")]);
      expect(first.isCommitted).toBe(true);
      const second = await store.commit(
        [{ key: "/t/a", modRevision: first.revision }],
        [put("/t/a", "2"), put("/t/b", "2")],
      );
      expect(second.isCommitted).toBe(true);
      const stale = await store.commit([{ key: "/t/a", modRevision: first.revision }], [put("/t/c", "3")]);
      expect(stale.isCommitted).toBe(false);
      const same = await store.commit(
        [{ key: "/t/a", createRevision: first.revision }],
        [{ type: "delete", key: "/t/b" }],
      );
      expect(same.isCommitted).toBe(true);
      expect(await values(store)).toEqual(["/t/a=2"]);
    });

    it("deletes below a prefix and nothing beside it", async () => {
      await using under = await open();
      const store = under.client();
      await store.commit([], [put("/t/a/1", ""), put("/t/a/2", ""), put("/t/ab", ""), put("/t/b", "")]);
      await store.commit([], [{ type: "deletePrefix", prefix: "/t/a/" }]);
      expect(await values(store)).toEqual(["/t/ab=", "/t/b="]);
    });

    it("a watch gives every change once and in order, whole revisions at a time", async () => {
      await using under = await open();
      const store = under.client();
      const writer = under.client();
      const { revision } = await store.read("/t/");
      await writer.commit([], [put("/t/a", "1"), put("/t/b", "1"), put("/beside", "x")]);
      const stop = new AbortController();
      const seen: StoreBatch[] = [];
      const done = (async () => {
        for await (const batch of store.watch("/t/", revision, stop.signal)) seen.push(batch);
      })();
      for (let i = 2; i < 50; i++) await writer.commit([], [put("/t/a", String(i)), put("/t/b", String(i))]);
      const last = await writer.commit([], [{ type: "delete", key: "/t/a" }]);
      await eventually(() => seen.at(-1)?.revision === last.revision);
      stop.abort();
      await done;
      const events = seen.flatMap((batch) => batch.events);
      const want = Array.from({ length: 49 }, (_, i) => [`/t/a=${i + 1}`, `/t/b=${i + 1}`]).flat();
      const shown = events.map((event) =>
        event.type === "put" ? `${event.entry.key}=${event.entry.value}` : `-${event.key}`,
      );
      expect(shown).toEqual([...want, "-/t/a"]);
      // A batch may hold several revisions, but no revision is in two batches.
      const revisions = seen.flatMap((batch) => [
        ...new Set(batch.events.map((event) => (event.type === "put" ? event.entry : event).modRevision)),
      ]);
      expect(new Set(revisions).size).toBe(revisions.length);
      expect(events.at(-1)).toEqual({ type: "delete", key: "/t/a", modRevision: last.revision });
    });

    it("a watch from a revision that was compacted says so", async () => {
      await using under = await open();
      const store = under.client();
      const { revision } = await store.read("/t/");
      for (let i = 0; i < 3; i++) await store.commit([], [put("/t/a", String(i))]);
      await under.compact();
      const watch = async () => {
        for await (const _ of store.watch("/t/", revision, forever())) break;
      };
      await expect(watch()).rejects.toThrow(StoreCompactedError);
    });

    it("keys end with their session, and not before", async () => {
      await using under = await open();
      const store = under.client();
      const session = await store.openSession(ttlMs);
      await store.commit([], [put("/t/mine", "1", session), put("/t/stays", "1")]);
      await new Promise((resolve) => setTimeout(resolve, 1.6 * ttlMs));
      expect(session.lost.aborted).toBe(false);
      expect(await values(store)).toEqual(["/t/mine=1", "/t/stays=1"]);
      await session.close({ revoke: true });
      expect(await values(store)).toEqual(["/t/stays=1"]);
    });

    it("a key that is put anew under another session belongs to that one", async () => {
      await using under = await open();
      const store = under.client();
      const [one, two] = [await store.openSession(ttlMs), await store.openSession(ttlMs)];
      await store.commit([], [put("/t/a", "1", one)]);
      await store.commit([], [put("/t/a", "2", two)]);
      await one.close({ revoke: true });
      expect(await values(store)).toEqual(["/t/a=2"]);
      await two.close({ revoke: true });
      expect(await values(store)).toEqual([]);
      await expect(store.commit([], [put("/t/b", "1", two)])).rejects.toMatchObject({ code: "ERR_SESSION_LOST" });
    });

    it("one leads at a time; the next one when it leaves; a deposed one cannot write", async () => {
      await using under = await open();
      const [one, two] = [under.client(), under.client()];
      const [mine, yours] = [await one.openSession(ttlMs), await two.openSession(ttlMs)];
      const first = await one.campaign(mine, "/t/election", "one", forever());
      let second: { key: string; createRevision: number } | undefined;
      const waiting = two.campaign(yours, "/t/election", "two", forever()).then((won) => (second = won));
      expect((await one.commit([first], [put("/t/x", "one")])).isCommitted).toBe(true);
      expect(second).toBeUndefined();
      await mine.close({ revoke: true });
      await waiting;
      expect(second?.createRevision).toBeGreaterThan(first.createRevision);
      expect((await one.commit([first], [put("/t/x", "late")])).isCommitted).toBe(false);
      expect(await values(two, "/t/x")).toEqual(["/t/x=one"]);
      await yours.close({ revoke: true });
    });

    it("waiting to lead can be given up", async () => {
      await using under = await open();
      const store = under.client();
      const [mine, yours] = [await store.openSession(ttlMs), await store.openSession(ttlMs)];
      await store.campaign(mine, "/t/election", "one", forever());
      const stop = new AbortController();
      const waiting = store.campaign(yours, "/t/election", "two", stop.signal);
      stop.abort(new Error("enough"));
      await expect(waiting).rejects.toThrow("enough");
      for (const session of [mine, yours]) await session.close({ revoke: true });
    });
  });
}
