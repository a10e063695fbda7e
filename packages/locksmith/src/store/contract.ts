import { describe, expect, it } from "vitest";
import type { LockStore, Write } from "./port.ts";

/** A store under test. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly store: LockStore;
}

/** What every {@link LockStore} must do. `ttlS`: the shortest lease that the store grants. */
export function describeLockStore(name: string, ttlS: number, open: () => Promise<StoreUnderTest>): void {
  const put = (key: string, value: string, lease?: bigint): Write =>
    lease === undefined ? { type: "put", key, value } : { type: "put", key, value, lease };
  const forever = () => new AbortController().signal;

  describe(`${name} as a LockStore`, () => {
    it("reads several ranges at one revision, each key once and in order", async () => {
      await using under = await open();
      const { store } = under;
      const { revision } = await store.commit([], [put("t/b", "2"), put("t/a", "1"), put("other", "x")]);
      const snapshot = await store.read([{ key: "other" }, { prefix: "t/" }, { key: "t/a" }, { key: "none" }]);
      expect(snapshot).toEqual({
        revision,
        entries: ["other=x", "t/a=1", "t/b=2"].map((text) => {
          const [key, value] = text.split("=");
          return { key, value, createRevision: revision, modRevision: revision, lease: 0n };
        }),
      });
    });

    it("writes all or nothing, under conditions on creation, change and lease", async () => {
      await using under = await open();
      const { store } = under;
      const { id } = await store.grant(ttlS);
      const first = await store.commit([{ key: "t/a", createRevision: 0 }], [put("t/a", "1", id)]);
      expect(first.isCommitted).toBe(true);
      const isRefused = async (...conditions: Parameters<LockStore["commit"]>[0]) =>
        !(await store.commit(conditions, [put("t/b", "no"), put("t/a", "no")])).isCommitted;
      expect(await isRefused({ key: "t/a", createRevision: 0 })).toBe(true);
      expect(await isRefused({ key: "t/a", modRevision: first.revision - 1 })).toBe(true);
      expect(await isRefused({ key: "t/a", lease: id + 1n })).toBe(true);
      expect(await isRefused({ key: "t/a", lease: id }, { key: "t/b", modRevision: 1 })).toBe(true);
      expect(await isRefused({ prefix: "t/", noneAfter: first.revision - 1 })).toBe(true);
      expect((await store.read([{ prefix: "t/" }])).entries.map(({ value }) => value)).toEqual(["1"]);
      const last = await store.commit(
        [
          { key: "t/a", lease: id },
          { key: "t/a", modRevision: first.revision },
          { key: "t/a", createRevision: first.revision },
          { key: "t/b", lease: 0n },
          { prefix: "t/", noneAfter: first.revision },
          { prefix: "none/", noneAfter: 1 },
        ],
        [{ type: "delete", key: "t/a" }, put("t/b", "2")],
      );
      expect(last.isCommitted).toBe(true);
      expect((await store.read([{ prefix: "t/" }])).entries.map(({ key }) => key)).toEqual(["t/b"]);
      await store.revoke(id);
    });

    it("a key put anew keeps its creation, and belongs to the lease of the last put", async () => {
      await using under = await open();
      const { store } = under;
      const [one, two] = [await store.grant(ttlS), await store.grant(ttlS)];
      const { revision } = await store.commit([], [put("t/a", "1", one.id)]);
      await store.commit([], [put("t/a", "2", two.id)]);
      await store.revoke(one.id);
      const entry = (await store.read([{ key: "t/a" }])).entries[0];
      expect(entry).toMatchObject({ value: "2", createRevision: revision, lease: two.id });
      await store.revoke(two.id);
      expect((await store.read([{ key: "t/a" }])).entries).toEqual([]);
    });

    it("keys end with their lease; a renewal keeps it; what has ended says so", async () => {
      await using under = await open();
      const { store } = under;
      const { id, ttlS: granted } = await store.grant(ttlS);
      expect(granted).toBeGreaterThanOrEqual(ttlS);
      const { revision } = await store.commit([], [put("t/mine", "1", id)]);
      expect(await store.keepAlive(id)).toBe(granted);
      await store.changed("t/", revision, forever()); // nobody renews it any more
      expect((await store.read([{ prefix: "t/" }])).entries).toEqual([]);
      expect(await store.keepAlive(id)).toBe(0);
      await store.revoke(id);
      await expect(store.commit([], [put("t/b", "1"), put("t/c", "1", id)])).rejects.toMatchObject({
        code: "ERR_LEASE_GONE",
      });
      expect((await store.read([{ prefix: "t/" }])).entries).toEqual([]);
    });

    it("changes wake those who wait for them: past ones at once, others when they come", async () => {
      await using under = await open();
      const { store } = under;
      const { revision } = await store.commit([], [put("t/a", "1")]);
      await store.changed("t/", revision - 1, forever());
      let woken = false;
      const waiting = store.changed("t/", revision, forever()).then(() => (woken = true));
      await store.commit([], [put("beside", "1")]);
      await store.read([{ key: "beside" }]);
      expect(woken).toBe(false);
      await store.commit([], [{ type: "delete", key: "t/a" }]);
      await waiting;
      const stop = new AbortController();
      const givenUp = store.changed("t/", (await store.read([])).revision, stop.signal);
      stop.abort();
      await givenUp;
    });
  });
}
