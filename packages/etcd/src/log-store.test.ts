import { EMPTY_CONF_STATE, EMPTY_HARD_STATE, type Entry, MemoryStorage } from "@keelson/raft";
import fc from "fast-check";
import { expect, it } from "vitest";
import { LogStore } from "./log-store.ts";
import { MemoryStore } from "./memory-store.ts";

const entry = (index: number, term: number, bytes = 3): Entry => ({
  index,
  term,
  type: "EntryNormal",
  data: new Uint8Array(bytes).fill(index),
});

function newLog(store: MemoryStore) {
  return new LogStore(store, { hardState: EMPTY_HARD_STATE, offset: { index: 0, term: 0 }, lastIndex: 0 }, () => ({
    index: 0,
    term: 0,
    confState: EMPTY_CONF_STATE,
  }));
}

type Action = { append: [back: number, count: number] } | { compact: number };

it("reads what raft's own memory storage reads, after any appends, conflicts and compactions", async () => {
  const action = fc.oneof(
    fc.record({ append: fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 8 })) }),
    fc.record({ compact: fc.nat(4) }),
  ) as fc.Arbitrary<Action>;
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 30 }), async (actions) => {
      const store = new MemoryStore();
      const log = newLog(store);
      const model = new MemoryStorage();
      let term = 1;
      for (const a of actions) {
        if ("append" in a) {
          const first = Math.max(log.firstIndex(), log.lastIndex() + 1 - a.append[0]);
          const entries = Array.from({ length: a.append[1] }, (_, i) => entry(first + i, ++term));
          model.append(entries);
          await store.write(log.append(entries, undefined));
        } else {
          const index = log.lastIndex() - a.compact;
          if (index < log.firstIndex()) continue;
          model.compact(index);
          await store.write(log.compact(index));
        }
        expect([log.firstIndex(), log.lastIndex()]).toEqual([model.firstIndex(), model.lastIndex()]);
        for (let i = log.firstIndex() - 2; i <= log.lastIndex() + 1; i++) expect(log.term(i)).toEqual(model.term(i));
        const [lo, hi] = [log.firstIndex(), log.lastIndex() + 1];
        if (hi === lo) continue;
        expect(log.entries(lo, hi, 1e9)).toEqual(model.entries(lo, hi, 1e9));
      }
    }),
  );
});

it("keeps a bounded part in memory and reads the rest from the store", async () => {
  const store = new MemoryStore();
  const log = newLog(store);
  for (let i = 1; i <= 40; i++) await store.write(log.append([entry(i, 1, 1 << 20)], undefined));
  expect(log.term(1)).toBe(1);
  const some = log.entries(1, 41, 3 << 20);
  expect(some.length).toBeGreaterThan(0);
  expect((some[0] as Entry).data[0]).toBe(1);
});
