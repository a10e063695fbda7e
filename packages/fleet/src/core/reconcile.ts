import type { MachineId, UnitName } from "@keelson/types";
import { Board } from "./board.ts";
import { keepOrEvict } from "./evict.ts";
import { type ClusterView, compareText, type Decision, type Job, type Machine, type Plan } from "./model.ts";
import { Placer } from "./place.ts";
import { Relations } from "./relations.ts";

/** A reason names so many machines at most, so that it stays readable and seldom changes in a large cluster. */
const REASON_MACHINES_MAX = 5;

/**
 * Compares what is with what should be and says what to change and why. Pure and deterministic: equal views give equal
 * plans. What is not wrong is left alone, so that a plan carried out in full is followed by an empty one.
 */
export function reconcile(view: ClusterView): Plan {
  const board = new Board(new Relations(view.jobs), view.machines);
  const evictions = keepOrEvict(view, board);
  const held = new Set<UnitName>();
  for (const job of view.jobs) {
    if (job.target !== undefined && !evictions.has(job.name) && board.slotOf(job.name) === undefined)
      held.add(job.name);
  }
  const placer = new Placer(board);
  placer.run(held);

  const decisions: Decision[] = [];
  const waiting = new Map<UnitName, string>();
  for (const job of view.jobs.toSorted((a, b) => compareText(a.name, b.name))) {
    if (held.has(job.name)) continue;
    const to = board.slotOf(job.name)?.machine.id;
    const cause = evictions.get(job.name) ?? placer.driven.get(job.name);
    const decision = decisionOf(job, to, cause);
    if (decision !== undefined) decisions.push(decision);
    if (to === undefined && board.relations.singles.has(job.name)) waiting.set(job.name, waitingReason(job, board));
  }
  return { decisions, waiting };
}

function decisionOf(job: Job, to: MachineId | undefined, cause: string | undefined): Decision | undefined {
  if (job.target === to) return undefined;
  return {
    unit: job.name,
    ...(job.target === undefined ? {} : { from: job.target }),
    ...(to === undefined ? {} : { to }),
    reason: cause ?? `target state ${job.desired} and unit not scheduled`,
  };
}

/** The refusals of all machines, with the names of the machines. */
function waitingReason(job: Job, board: Board): string {
  if (board.slots.size === 0) return "zero agents available";
  const refusals: string[] = [];
  for (const slot of board.slots.values()) {
    if (refusals.length === REASON_MACHINES_MAX) break;
    refusals.push(`${slot.machine.id}: ${board.refusal(job, slot) ?? "about to be tried again"}`);
  }
  const more = board.slots.size - refusals.length;
  return `no agents able to run job: ${refusals.join("; ")}${more > 0 ? `; and ${more} more machines` : ""}`;
}

/** A machine's answer to "why is the unit not here?"; `refusal` undefined: it is here, or could be. */
export interface MachineAnswer {
  readonly machineId: MachineId;
  readonly isHere: boolean;
  readonly refusal?: string;
}

/** What each machine says to a unit, whether it is scheduled or not; global units too. Undefined: no such unit runs or should. */
export function explain(view: ClusterView, unit: UnitName): readonly MachineAnswer[] | undefined {
  const relations = new Relations(view.jobs);
  const job = relations.singles.get(unit) ?? relations.globals.find((one) => one.name === unit);
  if (job === undefined) return undefined;
  const board = new Board(relations, view.machines);
  keepOrEvict(view, board);
  return [...board.slots.values()].map((slot) => {
    const machineId = slot.machine.id;
    if (slot.has(unit)) return { machineId, isHere: true };
    const refusal = board.refusal(job, slot);
    return { machineId, isHere: false, ...(refusal === undefined ? {} : { refusal }) };
  });
}

/** A machine and the units that are on it, for {@link decide}. */
export interface LoadedMachine extends Machine {
  readonly units: readonly Job[];
}

/** Where one new unit should go. */
export type Choice =
  | { readonly action: "schedule"; readonly machineId: MachineId }
  | { readonly action: "wait"; readonly reason: string };

/** {@link reconcile} for one new unit among units that stay where they are. */
export function decide(job: Job, machines: readonly LoadedMachine[]): Choice {
  const settled = machines.flatMap((machine) => machine.units.map((unit) => ({ ...unit, target: machine.id })));
  const plan = reconcile({ jobs: [...settled, job], machines });
  const found = plan.decisions.find((decision) => decision.unit === job.name);
  if (found?.to !== undefined) return { action: "schedule", machineId: found.to };
  return { action: "wait", reason: plan.waiting.get(job.name) ?? `desired state is ${job.desired}` };
}

/** The global units that run on one machine beside the ordinary units scheduled there. What the agent goes by. */
export function globalsOn(view: ClusterView, machineId: MachineId): ReadonlySet<UnitName> {
  const machines = view.machines.filter((machine) => machine.id === machineId);
  const jobs = view.jobs.filter((job) => job.requirements.global || job.target === machineId);
  if (!jobs.some((job) => job.requirements.global)) return new Set();
  const board = new Board(new Relations(jobs), machines);
  keepOrEvict({ jobs, machines }, board);
  return board.slots.get(machineId)?.globals ?? new Set();
}
