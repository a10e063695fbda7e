import { expect, it } from "vitest";
import { Prng } from "./prng.ts";
import { SimClock } from "./sim-clock.ts";
import { CALM_LINK, type LinkOptions, ROUGH_LINK, SimNetwork } from "./sim-network.ts";

function setUp(link?: LinkOptions, seed = 1) {
  const clock = new SimClock();
  const events: string[] = [];
  const network = new SimNetwork<number, string>({
    clock,
    rng: new Prng(seed),
    ...(link && { link }),
    observe: (event, from, to, message) => events.push(`${event} ${from}>${to} ${message}`),
  });
  const got: string[] = [];
  const attach = (id: number) => network.attach(id, (from, m) => got.push(`${id}<${from} ${m}`));
  return { clock, network, got, events, attach };
}

it("delivers in order on a calm link", () => {
  const { clock, network, got, attach } = setUp();
  attach(1);
  attach(2);
  for (let i = 0; i < 100; i++) network.send(1, 2, String(i));
  clock.run(1);
  expect(got).toEqual(Array.from({ length: 100 }, (_, i) => `2<1 ${i}`));
});

it("loses, duplicates and reorders on a rough one, the same way for the same seed", () => {
  const runs = [1, 1, 2].map((seed) => {
    const { clock, network, got, attach } = setUp(ROUGH_LINK, seed);
    attach(1);
    attach(2);
    for (let i = 0; i < 2_000; i++) {
      network.send(1, 2, String(i));
      clock.run(i / 10);
    }
    clock.run(1_000);
    return got;
  });
  const numbers = (runs[0] ?? []).map((line) => Number(line.split(" ")[1]));
  const distinct = new Set(numbers).size;
  expect(distinct).toBeGreaterThan(1_800);
  expect(distinct).toBeLessThan(1_960);
  expect(numbers.length).toBeGreaterThan(distinct);
  expect(numbers).not.toEqual(numbers.toSorted((a, b) => a - b));
  expect(runs[1]).toEqual(runs[0]);
  expect(runs[2]).not.toEqual(runs[0]);
});

it("partitions, cuts one way, and heals", () => {
  const { clock, network, got, attach } = setUp();
  for (const id of [1, 2, 3]) attach(id);
  network.send(1, 3, "on the way when the cut comes");
  network.partition([1, 2], [3]);
  network.send(3, 1, "cut");
  network.send(1, 2, "inside");
  network.heal();
  network.cut(1, 2);
  network.send(1, 2, "cut");
  network.send(2, 1, "back");
  clock.run(10);
  expect(got.toSorted()).toEqual(["1<2 back", "3<1 on the way when the cut comes"]);
  network.mend(1, 2);
  network.send(1, 2, "again");
  network.partition([1], [2]);
  clock.run(20);
  expect(got).toHaveLength(2);
});

it("holds messages for a paused node and loses those for a dead one", () => {
  const { clock, network, got, events, attach } = setUp();
  attach(1);
  const two = attach(2);
  network.pause(2);
  network.send(1, 2, "a");
  network.send(1, 2, "b");
  clock.run(10);
  expect(got).toEqual([]);
  network.resume(2);
  expect(got).toEqual(["2<1 a", "2<1 b"]);
  network.send(1, 2, "to the dead");
  two[Symbol.dispose]();
  attach(2);
  clock.run(20);
  expect(got).toHaveLength(2);
  expect(events.at(-1)).toBe("dead 1>2 to the dead");
  expect(network.nodes()).toEqual([1, 2]);
  network.setLink({ ...CALM_LINK, loss: 1 }, { from: 1, to: 2 });
  network.send(1, 2, "lost");
  network.send(2, 1, "other direction");
  clock.run(30);
  expect(got.at(-1)).toBe("1<2 other direction");
});
