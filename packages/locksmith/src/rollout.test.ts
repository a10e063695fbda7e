import { expect, it } from "vitest";
import type { Denial } from "./core/denial.ts";
import { allow, denied, deniedVersions, deny, watchDenied } from "./rollout.ts";
import { World } from "./testing/world.ts";

const denial = (version: string, reason = "the health gate was red"): Denial => ({
  version,
  reason,
  by: "alpha",
  atMs: 5,
});

it("a version is denied with its reason, once, until it is allowed again", async () => {
  const { store } = new World();
  expect(await denied(store, "2.0/x")).toBeUndefined();
  await deny(store, denial("2.0/x"));
  await deny(store, denial("2.0/x", "another reason"));
  expect(await denied(store, "2.0/x")).toEqual(denial("2.0/x"));
  expect([...(await deniedVersions(store)).keys()]).toEqual(["2.0/x"]);
  await allow(store, "2.0/x");
  expect(await denied(store, "2.0/x")).toBeUndefined();
  await expect(deny(store, denial(""))).rejects.toMatchObject({ code: "ERR_CONFIG" });
});

it("the key alone denies, whatever stands in it", async () => {
  const { store } = new World();
  const key = "coreos.com/updateengine/rollout/denied/3";
  await store.commit([], [{ type: "put", key, value: "nonsense" }]);
  expect(await denied(store, "3")).toEqual({ version: "3", reason: "no reason is given", by: "unknown", atMs: 0 });
});

it("a watch gives what is denied now, and after every change", async () => {
  const { store, clock } = new World();
  const stop = new AbortController();
  const seen: string[][] = [];
  const watching = (async () => {
    for await (const denials of watchDenied(store, stop.signal)) seen.push([...denials.keys()]);
  })();
  await clock.settle();
  await deny(store, denial("2"));
  await clock.settle();
  await allow(store, "2");
  await clock.settle();
  stop.abort();
  await watching;
  expect(seen).toEqual([[], ["2"], []]);
});
