import { expect, it } from "vitest";
import { History } from "./history.ts";
import { type KvInput, type KvOutput, kvModel } from "./kv-model.ts";
import { applyKv, EMPTY_KV, type KvState } from "./kv-state.ts";
import { checkLinearizability } from "./linearizability.ts";
import { Prng } from "./prng.ts";

const verdict = (history: Pick<History<KvInput, KvOutput>, "operations">) =>
  checkLinearizability(history, kvModel).verdict;

it("counts revisions, versions and deletions as etcd does", () => {
  let state: KvState = EMPTY_KV;
  const step = (input: KvInput, output: KvOutput) => {
    const after = applyKv(state, input, output);
    expect({ input, output, state, after }).toMatchObject({ after: expect.anything() });
    state = after ?? state;
  };
  step({ type: "put", key: "a", value: "1" }, { revision: 2 });
  step({ type: "put", key: "a", value: "2" }, { revision: 3 });
  const a = { key: "a", value: "2", createRevision: 2, modRevision: 3, version: 2 };
  step({ type: "range", key: "a" }, { revision: 3, kvs: [a] });
  step({ type: "delete", key: "b" }, { revision: 3, deleted: 0 });
  const compare = [{ key: "a", target: "mod", result: "=", than: 3 }] as const;
  step(
    {
      type: "txn",
      compare,
      success: [
        { type: "put", key: "b", value: "3" },
        { type: "delete", key: "a", end: "b" },
        { type: "range", key: "a", end: "c" },
      ],
      failure: [],
    },
    {
      revision: 4,
      succeeded: true,
      responses: [
        {},
        { deleted: 1 },
        { kvs: [{ key: "b", value: "3", createRevision: 4, modRevision: 4, version: 1 }] },
      ],
    },
  );
  step(
    { type: "txn", compare, success: [], failure: [{ type: "range", key: "a" }] },
    { revision: 4, succeeded: false, responses: [{ kvs: [] }] },
  );
  expect(applyKv(state, { type: "put", key: "a", value: "1" }, { revision: 6 })).toBeUndefined();
  expect(applyKv(state, { type: "delete", key: "b" }, { deleted: 0 })).toBeUndefined();
});

/** A correct server and clients that call it, with answers lost and effects delayed; `spoil` may falsify an answer. */
function simulate(
  seed: number | string,
  count: number,
  lost: number,
  spoil?: (output: KvOutput, n: number) => KvOutput,
) {
  const rng = new Prng(seed);
  const history = new History<KvInput, KvOutput>();
  let state: KvState = EMPTY_KV;
  const apply = (input: KvInput): KvOutput => {
    const output = answer(state, input);
    state = applyKv(state, input, undefined) ?? state;
    return output;
  };
  const running: { apply: () => void; finish: () => void; stage: number }[] = [];
  let answered = 0;
  for (let begun = 0; begun < count || running.length > 0; ) {
    if (begun < count && (running.length === 0 || (running.length < 10 && rng.chance(0.4)))) {
      const input = randomInput(rng, begun++);
      const op = history.begin(begun % 10, input);
      const isLost = rng.chance(lost);
      const isDropped = isLost && rng.chance(0.5);
      let output: KvOutput = {};
      running.push({
        stage: 0,
        apply: () => {
          if (!isDropped) output = apply(input);
        },
        finish: () => (isLost ? op.unknown() : op.ok(spoil?.(output, answered++) ?? output)),
      });
      continue;
    }
    const one = rng.pick(running);
    if (one.stage++ === 0) one.apply();
    else {
      one.finish();
      running.splice(running.indexOf(one), 1);
    }
  }
  return history;
}

function answer(state: KvState, input: KvInput): KvOutput {
  const revision = applyKv(state, input, undefined)?.revision ?? 0;
  if (input.type === "range") return { revision, kvs: [...state.keys.values()].filter((kv) => kv.key === input.key) };
  if (input.type === "delete") return { revision, deleted: state.keys.has(input.key) ? 1 : 0 };
  if (input.type === "txn") return { revision, succeeded: (state.keys.get("k0")?.modRevision ?? 0) > 5 };
  return { revision };
}

function randomInput(rng: Prng, n: number): KvInput {
  const key = `k${rng.below(8)}`;
  const kind = rng.float();
  if (kind < 0.45) return { type: "put", key, value: `v${n}` };
  if (kind < 0.8) return { type: "range", key };
  if (kind < 0.9) return { type: "delete", key };
  const compare = [{ key: "k0", target: "mod", result: ">", than: 5 }] as const;
  return { type: "txn", compare, success: [{ type: "put", key, value: `t${n}` }], failure: [] };
}

it("accepts what a correct server answers, with lost answers, for 100 seeds", () => {
  for (let seed = 1; seed <= 100; seed++) {
    const result = checkLinearizability(simulate(seed, 120, 0.1), kvModel);
    expect({ seed, result }).toEqual({ seed, result: { verdict: "ok" } });
  }
});

it("finds one falsified answer among many, for 100 seeds", () => {
  let spoiled = 0;
  for (let seed = 1; seed <= 100; seed++) {
    let isSpoiled = false;
    const history = simulate(seed, 120, 0.05, (output, n) => {
      const kv = output.kvs?.[0];
      if (n < 60 || isSpoiled || kv === undefined || kv.version < 2) return output;
      isSpoiled = true;
      // A stale read: what the key held one version before.
      return { ...output, kvs: [{ ...kv, version: kv.version - 1, value: "old" }] };
    });
    if (!isSpoiled) continue;
    spoiled++;
    expect({ seed, verdict: verdict(history) }).toEqual({ seed, verdict: "violation" });
  }
  expect(spoiled).toBeGreaterThan(60);
});

it("finds a write that was acknowledged and lost", () => {
  const history = new History<KvInput, KvOutput>();
  history.begin(1, { type: "put", key: "a", value: "1" }).ok({ revision: 2 });
  history.begin(1, { type: "put", key: "b", value: "1" }).ok({ revision: 2 });
  expect(verdict(history)).toBe("violation");
});

it("checks 1,000 operations of 10 clients, 30 of them without an answer, in under a second", () => {
  const history = simulate("long", 1_000, 0.03);
  const start = performance.now();
  expect(verdict(history)).toBe("ok");
  const ms = performance.now() - start;
  process.stdout.write(`1,000 operations checked in ${ms.toFixed(0)} ms\n`);
  expect(ms).toBeLessThan(1_000);
});
