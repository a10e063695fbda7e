import type { MachineEntity, UnitEntity, UnitStateEntity } from "@keelson/fleet/client";
import { formatErrorChain } from "@keelson/types";
import { hashOptions } from "@keelson/unit";
import { CommandError, type Context } from "../io.ts";
import { formatMetadata, machineIdLegend, machineLegend } from "../legend.ts";
import { descriptionOf, isGlobal } from "../names.ts";
import { formatTable } from "../table.ts";

/** Flags of the list commands. */
export interface ListFlags {
  readonly full: boolean;
  readonly legend: boolean;
  readonly fields: string;
  readonly output: string;
}

type Field<T> = (item: T, isFull: boolean, machines: readonly MachineEntity[]) => string;
type Fields<T> = Readonly<Record<string, Field<T>>>;

const orDash = (text: string | undefined) => (text === undefined || text === "" ? "-" : text);
const shortHash = (hash: string, isFull: boolean) => orDash(isFull ? hash : hash.slice(0, 7));

export const MACHINE_FIELDS: Fields<MachineEntity> = {
  machine: (machine, isFull) => machineIdLegend(machine.id, isFull),
  ip: (machine) => orDash(machine.primaryIP),
  metadata: (machine) => formatMetadata(machine.metadata),
};

export const STATE_FIELDS: Fields<UnitStateEntity> = {
  unit: (state) => state.name,
  machine: (state, isFull, machines) =>
    state.machineID === "" ? "-" : machineLegend(state.machineID, machines, isFull),
  load: (state) => orDash(state.systemdLoadState),
  active: (state) => orDash(state.systemdActiveState),
  sub: (state) => orDash(state.systemdSubState),
  hash: (state, isFull) => shortHash(state.hash, isFull),
};

const target: Field<UnitEntity> = (unit, isFull, machines) => {
  if (isGlobal(unit)) return "global";
  return unit.machineID === undefined ? "-" : machineLegend(unit.machineID, machines, isFull);
};

export const UNIT_FIELDS: Fields<UnitEntity> = {
  unit: (unit) => unit.name,
  hash: (unit, isFull) => shortHash(hashOptions(unit.options), isFull),
  dstate: (unit) => orDash(unit.desiredState),
  state: (unit) => (isGlobal(unit) ? "-" : orDash(unit.currentState)),
  target,
  tmachine: target,
  desc: (unit) => orDash(descriptionOf(unit)),
  global: (unit) => String(isGlobal(unit)),
};

/** `fleetctl list-machines`. */
export async function listMachines({ io, client }: Context, flags: ListFlags): Promise<number> {
  const columns = columnsOf(flags, MACHINE_FIELDS);
  try {
    const machines = await client.machines();
    print(io, machines, columns, MACHINE_FIELDS, flags, machines);
    return 0;
  } catch (error) {
    io.err(`Error retrieving list of active machines from fleet API (${formatErrorChain(error)})`);
    io.err("Possible issues:");
    io.err("  etcd is unhealthy and/or lost quorum");
    io.err("  connection cannot be established to any etcd servers");
    return 1;
  }
}

/** `fleetctl list-units`: one line for each unit and machine that has it. */
export async function listUnits(context: Context, flags: ListFlags): Promise<number> {
  return await list(context, flags, STATE_FIELDS, () => context.client.states());
}

/** `fleetctl list-unit-files`. */
export async function listUnitFiles(context: Context, flags: ListFlags): Promise<number> {
  if (flags.fields.split(",").includes("tmachine")) {
    context.io.err('WARNING: The "tmachine" field is deprecated. Use "target" instead');
  }
  return await list(context, flags, UNIT_FIELDS, () => context.client.units());
}

async function list<T>(
  { io, client }: Context,
  flags: ListFlags,
  fields: Fields<T>,
  fetch: () => Promise<T[]>,
): Promise<number> {
  const columns = columnsOf(flags, fields);
  try {
    const [items, machines] = await Promise.all([fetch(), client.machines().catch(() => [])]);
    print(io, items, columns, fields, flags, machines);
    return 0;
  } catch (error) {
    throw new CommandError(`Error retrieving list of units from repository: ${formatErrorChain(error)}`);
  }
}

function columnsOf<T>(flags: ListFlags, fields: Fields<T>): string[] {
  if (flags.output !== "text" && flags.output !== "json") {
    throw new CommandError(`unknown output ${JSON.stringify(flags.output)}: text or json`);
  }
  if (flags.fields === "") throw new CommandError("Must define output format");
  const columns = flags.fields.split(",");
  const bad = columns.find((column) => !Object.hasOwn(fields, column));
  if (bad !== undefined) throw new CommandError(`Invalid key in output format: ${JSON.stringify(bad)}`);
  return columns;
}

function print<T>(
  io: Context["io"],
  items: readonly T[],
  columns: readonly string[],
  fields: Fields<T>,
  flags: ListFlags,
  machines: readonly MachineEntity[],
): void {
  if (flags.output === "json") {
    io.out(`${JSON.stringify(items, null, 2)}\n`);
    return;
  }
  const rows = items.map((item) => columns.map((column) => fields[column]?.(item, flags.full, machines) ?? "-"));
  io.out(formatTable(flags.legend ? [columns.map((column) => column.toUpperCase()), ...rows] : rows));
}
