import { globMatches, metadataMatches } from "@keelson/unit";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { ClusterView, Job, Machine } from "./model.ts";
import { globalsOn, reconcile } from "./reconcile.ts";
import { apply } from "./testing/fixtures.ts";
import { oracle } from "./testing/oracle.ts";

const RUNS = Number(process.env["FLEET_RUNS"] ?? 3_000);
const NAMES = Array.from({ length: 9 }, (_, i) => `u${i}.service`);
const IDS = ["a", "b", "c", "d", "gone"];

const name = fc.constantFrom(...NAMES, "ghost.service");
const glob = fc.oneof(
  { weight: 3, arbitrary: name },
  fc.constantFrom("u[0-3].service", "u*.service", "u?.service", "[bad"),
);
const few = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 2 });
const rarely = <T>(item: fc.Arbitrary<T>) => fc.option(item, { nil: undefined, freq: 5 });

const requirements = fc
  .record({
    machineId: rarely(fc.constantFrom(...IDS)),
    machineOf: rarely(few(name)),
    conflicts: rarely(few(glob)),
    replaces: rarely(few(glob)),
    rack: rarely(fc.array(fc.constantFrom("1", "2"), { minLength: 1, maxLength: 2 })),
    global: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  })
  .map(({ machineId, machineOf, conflicts, replaces, rack, global }) => ({
    ...(machineId === undefined ? {} : { machineId }),
    machineOf: machineOf ?? [],
    conflicts: conflicts ?? [],
    replaces: replaces ?? [],
    machineMetadata: new Map(rack === undefined ? [] : [["rack", rack]]),
    global,
  }));

const view: fc.Arbitrary<ClusterView> = fc.record({
  jobs: fc
    .tuple(fc.subarray(NAMES), fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 9, maxLength: 9 }))
    .chain(([names, orders]) =>
      fc.tuple(
        ...names.map((one, i) =>
          fc
            .record({
              desired: fc.constantFrom(
                "launched" as const,
                "launched" as const,
                "loaded" as const,
                "inactive" as const,
              ),
              target: fc.option(fc.constantFrom(...IDS), { nil: undefined }),
              requirements,
            })
            .map(
              ({ desired, target, requirements: r }): Job => ({
                name: one,
                order: orders[i] ?? 1,
                desired,
                requirements: r,
                ...(target === undefined ? {} : { target }),
              }),
            ),
        ),
      ),
    ),
  machines: fc
    .subarray(IDS.slice(0, 4))
    .chain((ids) =>
      fc.tuple(...ids.map((id) => fc.constantFrom("1", "2", "3").map((rack): Machine => ({ id, metadata: { rack } })))),
    ),
  isSettled: fc.integer({ min: 0, max: 9 }).map((n) => n !== 0),
});

const targets = (v: ClusterView) =>
  Object.fromEntries(v.jobs.filter((one) => one.target !== undefined).map((one) => [one.name, one.target]));

it(`places as a slow solver does (${RUNS} random clusters)`, () => {
  fc.assert(
    fc.property(view, (v) => {
      const after = apply(v, reconcile(v));
      expect(targets(after)).toEqual(Object.fromEntries(oracle(v).where));
    }),
    { numRuns: RUNS },
  );
});

it(`does not depend on the order of its input (${RUNS / 3} random clusters)`, () => {
  fc.assert(
    fc.property(view, (v) => {
      const turned = { ...v, jobs: v.jobs.toReversed(), machines: v.machines.toReversed() };
      expect(reconcile(turned).decisions).toEqual(reconcile(v).decisions);
    }),
    { numRuns: RUNS / 3 },
  );
});

it(`comes to rest, and at rest every constraint holds and nobody waits who could run (${RUNS} random clusters)`, () => {
  fc.assert(
    fc.property(view, (start) => {
      let v = start;
      for (let round = 0; ; round++) {
        const plan = reconcile(v);
        if (plan.decisions.length === 0) break;
        expect(round, "rounds until it rests").toBeLessThan(10);
        v = apply(v, plan);
      }
      checkPlacement(v);
    }),
    { numRuns: RUNS },
  );
});

/** Looks at the result only, with rules of its own. */
function checkPlacement(v: ClusterView): void {
  const broken: string[] = [];
  const rule = (holds: boolean, what: string) => void (holds || broken.push(what));
  const alive = new Set(v.machines.map((m) => m.id));
  const active = v.jobs.filter((one) => one.desired !== "inactive");
  for (const m of v.machines) {
    const globals = globalsOn(v, m.id);
    const here = active.filter((one) => one.target === m.id || globals.has(one.name));
    const names = new Set(here.map((one) => one.name));
    for (const one of here) {
      const { machineId, machineMetadata, machineOf, conflicts } = one.requirements;
      rule((machineId ?? m.id) === m.id, `${one.name} is on another machine than MachineID=`);
      rule(metadataMatches(machineMetadata, m.metadata), `${one.name} is on a machine without its metadata`);
      rule(
        machineOf.every((peer) => names.has(peer)),
        `${one.name} is without its peers`,
      );
      const enemies = here.filter((other) => other !== one && conflicts.some((g) => globMatches(g, other.name)));
      rule(enemies.length === 0, `${one.name} is with its enemies`);
    }
  }
  for (const one of v.jobs) {
    const isPlaced = one.target !== undefined;
    rule(!isPlaced || (one.desired !== "inactive" && !one.requirements.global), `${one.name} should not be placed`);
    rule(!isPlaced || v.isSettled !== true || alive.has(one.target ?? ""), `${one.name} is on a dead machine`);
  }
  for (const [name, reason] of reconcile(v).waiting) {
    rule(!reason.includes("about to be tried again"), `${name} waits although it could run`);
  }
  expect(broken).toEqual([]);
}
