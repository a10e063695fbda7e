import type { ClusterInfo, MachineInfo } from "@keelson/cluster";
import { FleetClient, type UnitEntity, type UnitStateEntity } from "@keelson/fleet/client";
import { probeEtcd } from "./etcd-probe.ts";
import { table } from "./table.ts";

/** How long a fleetd may take to answer before the next one is asked. */
const FLEET_TIMEOUT_MS = 3_000;

export interface MachineView {
  readonly name: string;
  readonly state: string;
  /** `leader`, `follower`, `learner`, or why etcd does not answer. */
  readonly etcd: string;
  readonly raftTerm: number;
  readonly raftIndex: number;
  /** Whether fleet counts the machine as present; undefined when fleet does not answer. */
  readonly inFleet: boolean | undefined;
}

export interface UnitView {
  readonly unit: string;
  readonly desired: string;
  readonly machine: string;
  readonly active: string;
  readonly sub: string;
}

/** A cluster at one moment, as seen from the host. */
export interface ClusterView {
  readonly name: string;
  readonly kind: string;
  readonly machines: readonly MachineView[];
  readonly units: readonly UnitView[];
  /** A leader exists and a majority answers. */
  readonly hasQuorum: boolean;
  readonly fleetError?: string;
}

/** Asks every machine at once; what does not answer is shown as such. */
export async function look(info: ClusterInfo): Promise<ClusterView> {
  const [etcds, fleet] = await Promise.all([
    Promise.all(info.machines.map((m) => probeEtcd(m))),
    lookAtFleet(info.machines),
  ]);
  const machines = info.machines.map((m, i): MachineView => {
    const etcd = etcds[i];
    return {
      name: m.name,
      state: m.state,
      etcd: etcd?.role ?? "-",
      raftTerm: etcd?.raftTerm ?? 0,
      raftIndex: etcd?.raftIndex ?? 0,
      inFleet: fleet === undefined ? undefined : fleet.machineIds.has(m.machineId),
    };
  });
  const answering = etcds.filter((etcd) => etcd.answers && etcd.hasLeader).length;
  const view = {
    name: info.name,
    kind: info.kind,
    machines,
    units: unitRows(info, fleet),
    hasQuorum: answering * 2 > info.machines.length,
  };
  return fleet === undefined ? { ...view, fleetError: "no fleetd answers" } : view;
}

interface FleetAnswer {
  readonly machineIds: ReadonlySet<string>;
  readonly units: readonly UnitEntity[];
  readonly states: readonly UnitStateEntity[];
}

/** What the first fleetd that answers says. */
async function lookAtFleet(machines: readonly MachineInfo[]): Promise<FleetAnswer | undefined> {
  for (const machine of machines) {
    if (machine.state !== "running") continue;
    const api = new FleetClient({ endpoint: machine.fleetUrl, timeoutMs: FLEET_TIMEOUT_MS });
    try {
      const [ids, units, states] = await Promise.all([api.machines(), api.units(), api.states()]);
      return { machineIds: new Set(ids.map((m) => m.id)), units, states };
    } catch {
      // The next one may answer; the caller shows when none does.
    }
  }
  return undefined;
}

function unitRows(info: ClusterInfo, fleet: FleetAnswer | undefined): UnitView[] {
  const nameOf = (id: string | undefined) => info.machines.find((m) => m.machineId === id)?.name ?? id ?? "-";
  const rows: UnitView[] = [];
  for (const unit of fleet?.units ?? []) {
    const states = fleet?.states.filter((state) => state.name === unit.name) ?? [];
    if (states.length === 0)
      rows.push({
        unit: unit.name,
        desired: unit.desiredState,
        machine: nameOf(unit.machineID || undefined),
        active: "-",
        sub: "-",
      });
    for (const state of states) {
      rows.push({
        unit: unit.name,
        desired: unit.desiredState,
        machine: nameOf(state.machineID),
        active: state.systemdActiveState,
        sub: state.systemdSubState,
      });
    }
  }
  return rows;
}

/** The view as two small tables. Pure. */
export function render(view: ClusterView): string {
  const machines = table([
    ["MACHINE", "STATE", "ETCD", "TERM", "INDEX", "FLEET"],
    ...view.machines.map((m) => [
      m.name,
      m.state,
      m.etcd,
      String(m.raftTerm),
      String(m.raftIndex),
      m.inFleet === undefined ? "-" : m.inFleet ? "present" : "absent",
    ]),
  ]);
  const units =
    view.units.length === 0
      ? "no units\n"
      : table([
          ["UNIT", "DESIRED", "MACHINE", "ACTIVE", "SUB"],
          ...view.units.map((u) => [u.unit, u.desired, u.machine, u.active, u.sub]),
        ]);
  const quorum = view.hasQuorum ? "quorum" : "NO QUORUM";
  return `cluster ${view.name}: ${view.machines.length} machines (${view.kind}), ${quorum}\n\n${machines}\n${units}`;
}
