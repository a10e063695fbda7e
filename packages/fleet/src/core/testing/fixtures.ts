/** Small builders for scheduler tests. */
import { parseOptions, parseRequirements, parseUnitName } from "@keelson/unit";
import type { ClusterView, DesiredState, Job, Machine, Plan } from "../model.ts";

let created = 0;

/** A launched unit with the given lines in [X-Fleet]; each new one is younger than all before it. */
export function job(
  name: string,
  fleet: readonly string[] = [],
  more: { target?: string; desired?: DesiredState; order?: number } = {},
): Job {
  const options = parseOptions(`[X-Fleet]\n${fleet.join("\n")}\n`);
  const { requirements } = parseRequirements(options, parseUnitName(name));
  return { name, order: ++created, desired: "launched", requirements, ...more };
}

export function machine(id: string, metadata: Record<string, string> = {}): Machine {
  return { id, metadata };
}

/** One line for each decision: `unit: from -> to`, and `unit waits` for each unit that waits. */
export function show(plan: Plan): string[] {
  const moves = plan.decisions.map(({ unit, from, to }) => `${unit}: ${from ?? "-"} -> ${to ?? "-"}`);
  return [...moves, ...[...plan.waiting.keys()].map((unit) => `${unit} waits`)];
}

/** The view after the plan was carried out. */
export function apply(view: ClusterView, plan: Plan): ClusterView {
  const changes = new Map(plan.decisions.map((decision) => [decision.unit, decision]));
  return {
    ...view,
    jobs: view.jobs.map((one) => {
      const change = changes.get(one.name);
      if (change === undefined) return one;
      const { target: _, ...rest } = one;
      return change.to === undefined ? rest : { ...rest, target: change.to };
    }),
  };
}
