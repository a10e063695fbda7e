import type { UnitEntity, WhyEntity } from "@keelson/fleet/client";
import { formatErrorChain } from "@keelson/types";
import { formatOptions, type UnitStatus } from "@keelson/unit";
import { CommandError, type Context } from "../io.ts";
import { machineIdLegend, machineLegend } from "../legend.ts";
import { descriptionOf, isGlobal, unitName } from "../names.ts";

/** Exit codes of `status` and `why` beside 0 and 1: as systemctl's for a unit that is not active; a unit that waits. */
export const EXIT_NOT_ACTIVE = 3;
export const EXIT_WAITING = 4;

/** Time, host and program, as journald's short form begins a line. */
const JOURNAL_PREFIX = /^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ [^\s:]+: /;

/** `fleetctl cat`. */
export async function cat({ io, client }: Context, args: readonly string[]): Promise<number> {
  const [arg] = args;
  if (arg === undefined || args.length !== 1) throw new CommandError("One unit file must be provided");
  const name = unitName(arg);
  const unit = await client.unit(name);
  if (unit === undefined) throw new CommandError(`Unit ${name} not found`);
  io.out(formatOptions(unit.options));
  return 0;
}

/** `fleetctl status`. */
export async function status(
  context: Context,
  args: readonly string[],
  flags: { readonly output: string; readonly machine?: string },
): Promise<number> {
  if (args.length === 0) throw new CommandError("One unit file must be provided.");
  let exitCode = 0;
  for (const [i, arg] of args.entries()) {
    const unit = await existing(context, unitName(arg));
    const machineIds = await machinesOf(context, unit, flags.machine);
    if (machineIds.length === 0) throw new CommandError(`Unit ${unit.name} does not appear to be loaded.`);
    for (const [k, machineID] of machineIds.entries()) {
      if ((i > 0 || k > 0) && flags.output === "text") context.io.out("\n");
      const found = await context.client.status(unit.name, machineID);
      await showStatus(context, unit, found, flags.output);
      if (found.activeState !== "active") exitCode = EXIT_NOT_ACTIVE;
    }
  }
  return exitCode;
}

async function showStatus(
  { io, client }: Context,
  unit: UnitEntity,
  found: UnitStatus & { readonly machineID: string },
  output: string,
): Promise<void> {
  if (output === "json") return io.out(`${JSON.stringify(found, null, 2)}\n`);
  const description = descriptionOf(unit);
  const machines = await client.machines().catch(() => []);
  io.out(`● ${unit.name}${description === "" ? "" : ` - ${description}`}\n`);
  io.out(`   Loaded: ${found.loadState}\n`);
  const result = found.activeState === "failed" && found.result !== undefined ? ` (Result: ${found.result})` : "";
  io.out(`   Active: ${found.activeState} (${found.subState})${result}\n`);
  if (found.mainPid !== undefined) io.out(` Main PID: ${found.mainPid}\n`);
  io.out(`  Machine: ${machineLegend(found.machineID, machines, false)}\n`);
  for (const warning of found.warnings ?? []) io.out(`  Warning: ${warning}\n`);
  io.out("\n");
  for await (const line of client.journal(unit.name, { lines: 10, machineID: found.machineID })) io.out(`${line}\n`);
}

/** `fleetctl journal`. */
export async function journal(
  context: Context,
  args: readonly string[],
  flags: { readonly lines: number; readonly follow: boolean; readonly output: string; readonly machine?: string },
): Promise<number> {
  if (flags.output !== "short" && flags.output !== "cat") {
    throw new CommandError(`unknown output ${JSON.stringify(flags.output)}: short or cat`);
  }
  const [arg] = args;
  if (arg === undefined || args.length !== 1) throw new CommandError("One unit file must be provided.");
  const unit = await existing(context, unitName(arg));
  const [machineID, ...others] = await machinesOf(context, unit, flags.machine);
  if (machineID === undefined) throw new CommandError(`Unit ${unit.name} does not appear to be running.`);
  if (others.length > 0) {
    throw new CommandError(
      `Unable to retrieve journal of global unit ${unit.name}.\nName one machine: --machine ${machineID.slice(0, 8)}`,
    );
  }
  const { io, client } = context;
  try {
    const lines = client.journal(unit.name, { lines: flags.lines, follow: flags.follow, machineID, signal: io.signal });
    const show = (line: string) => (flags.output === "cat" ? line.replace(JOURNAL_PREFIX, "") : line);
    for await (const line of lines) io.out(`${show(line)}\n`);
  } catch (error) {
    if (!io.signal.aborted) throw error;
  }
  return 0;
}

/** `fleetctl why`: where a unit is, or why it is nowhere. */
export async function why(
  context: Context,
  args: readonly string[],
  flags: { readonly output: string },
): Promise<number> {
  if (args.length === 0) throw new CommandError("One unit file must be provided.");
  let exitCode = 0;
  for (const arg of args) {
    const name = unitName(arg);
    const answer = await context.client.why(name);
    if (answer === undefined) throw new CommandError(`Unit ${name} does not exist.`);
    if (flags.output === "json") context.io.out(`${JSON.stringify(answer, null, 2)}\n`);
    else context.io.out(explainWhy(answer));
    const isWanted = answer.desiredState !== "inactive";
    if (isWanted && !answer.machines.some((machine) => machine.isHere)) exitCode = EXIT_WAITING;
  }
  return exitCode;
}

function explainWhy({ name, desiredState, currentState, machines, machineID }: WhyEntity): string {
  if (desiredState === "inactive")
    return `${name} is not scheduled: its desired state is inactive (fleetctl start ${name})\n`;
  const here = machines.filter((machine) => machine.isHere).map(({ id }) => machineIdLegend(id, false));
  const lines = [
    machineID !== undefined || here.length > 0
      ? `${name} is ${currentState ?? "scheduled"} on ${here.length > 0 ? here.join(", ") : machineIdLegend(machineID ?? "", false)}`
      : `${name} waits: ${machines.length === 0 ? "zero agents available" : "no agents able to run job"}`,
    ...machines
      .filter((machine) => !machine.isHere)
      .map(({ id, refusal }) => `  ${machineIdLegend(id, false)}  ${refusal ?? "would do, but is not the choice"}`),
  ];
  return `${lines.join("\n")}\n`;
}

async function existing({ client }: Context, name: string): Promise<UnitEntity> {
  const unit = await client.unit(name).catch((error: unknown) => {
    throw new CommandError(`Error retrieving unit ${name}: ${formatErrorChain(error)}`);
  });
  if (unit === undefined) throw new CommandError(`Unit ${name} does not exist.`);
  return unit;
}

/** Machines whose unit managers hold the unit; a wanted one may be given by the beginning of its id. */
async function machinesOf({ client }: Context, unit: UnitEntity, wanted: string | undefined): Promise<string[]> {
  const states = await client.states({ unitName: unit.name });
  const ids = states.map((state) => state.machineID).sort();
  if (wanted !== undefined) {
    const found = ids.filter((id) => id.startsWith(wanted));
    if (found.length === 0) throw new CommandError(`Unit ${unit.name} is on no machine ${wanted}`);
    if (found.length > 1) throw new CommandError("found more than one machine");
    return found;
  }
  if (isGlobal(unit)) return ids;
  const { machineID } = unit;
  return machineID === undefined || (unit.currentState ?? "inactive") === "inactive" ? [] : [machineID];
}
