/** Time of one plan of the scheduler. `node bench/reconcile.ts [units] [machines]` */
import type { ClusterView, Job, Plan } from "../src/core/model.ts";
import { reconcile } from "../src/core/reconcile.ts";

const units = Number(process.argv[2] ?? 1_000);
const machines = Number(process.argv[3] ?? 100);
const plain = { machineOf: [], machineMetadata: new Map(), conflicts: [], replaces: [], global: false };

type Requirements = Job["requirements"];

const CASES: Record<string, (i: number) => Requirements> = {
  plain: () => plain,
  "metadata, one of ten racks": (i) => ({ ...plain, machineMetadata: new Map([["rack", [String(i % 10)]]]) }),
  "conflicts, groups of ten": (i) => ({ ...plain, conflicts: [`u${Math.floor(i / 10)}-*.service`] }),
  "conflicts, all with all": () => ({ ...plain, conflicts: ["u*.service"] }),
  "peers, pairs": (i) => (i % 2 === 0 ? plain : { ...plain, machineOf: [nameOf(i - 1)] }),
};

function nameOf(i: number): string {
  return `u${Math.floor(i / 10)}-${i % 10}.service`;
}

function viewOf(requirements: (i: number) => Requirements): ClusterView {
  return {
    jobs: Array.from({ length: units }, (_, i) => ({
      name: nameOf(i),
      order: i,
      desired: "launched" as const,
      requirements: requirements(i),
    })),
    machines: Array.from({ length: machines }, (_, i) => ({
      id: `m${String(i).padStart(5, "0")}`,
      metadata: { rack: String(i % 10) },
    })),
  };
}

function apply(view: ClusterView, plan: Plan): ClusterView {
  const to = new Map(plan.decisions.map((decision) => [decision.unit, decision.to]));
  const jobs = view.jobs.map((job) => {
    const target = to.get(job.name);
    return target === undefined ? job : { ...job, target };
  });
  return { ...view, jobs };
}

function medianMs(fn: () => void): number {
  const times = Array.from({ length: 9 }, () => {
    const start = performance.now();
    fn();
    return performance.now() - start;
  });
  return times.sort((a, b) => a - b)[4] ?? 0;
}

console.log(`${units} units, ${machines} machines; medians of 9, in ms`);
for (const [name, requirements] of Object.entries(CASES)) {
  const empty = viewOf(requirements);
  const placed = apply(empty, reconcile(empty));
  const fewer = { ...placed, machines: placed.machines.slice(1) };
  const row = {
    "all at once": medianMs(() => reconcile(empty)),
    "at rest": medianMs(() => reconcile(placed)),
    "one machine lost": medianMs(() => reconcile(fewer)),
  };
  const cells = Object.entries(row).map(([what, ms]) => `${what} ${ms.toFixed(1)}`);
  console.log(`${name.padEnd(28)} ${cells.join(", ")}`);
}
