import type { DesiredState, UnitEntity } from "@keelson/fleet/client";
import { formatErrorChain } from "@keelson/types";
import { type CreateOptions, createUnits } from "../create.ts";
import { CommandError, type Context } from "../io.ts";
import { isGlobal, unitName } from "../names.ts";
import { type Blocking, waitForActive, waitForGone, waitForState } from "../wait.ts";

/** `fleetctl submit`. */
export async function submit(context: Context, args: readonly string[], options: CreateOptions): Promise<number> {
  if (args.length === 0) return nothing(context);
  await createUnits(context, args, "submit", options);
  return 0;
}

/** `fleetctl load`. */
export async function load(
  context: Context,
  args: readonly string[],
  options: CreateOptions & Blocking,
): Promise<number> {
  if (args.length === 0) return nothing(context);
  await createUnits(context, args, "load", options);
  const loading = await setAll(context, args, "loaded", "load", "Error loading units");
  await waitForState(context, loading, "loaded", "load", options);
  return 0;
}

/** `fleetctl start`: returns when the units are active. */
export async function start(
  context: Context,
  args: readonly string[],
  options: CreateOptions & Blocking,
): Promise<number> {
  if (args.length === 0) return nothing(context);
  await createUnits(context, args, "start", options);
  const starting = await setAll(context, args, "launched", "start", "Error starting units");
  await waitForState(context, starting, "launched", "start", options);
  await waitForActive(context, starting, options);
  return 0;
}

/** `fleetctl stop`. */
export async function stop(context: Context, args: readonly string[], blocking: Blocking): Promise<number> {
  const { io, client } = context;
  const units = await findUnits(context, args);
  if (units === undefined) return 0;
  const stopping: string[] = [];
  for (const unit of units) {
    const current = unit.currentState ?? "inactive";
    if (!isGlobal(unit) && current === "inactive") {
      throw new CommandError(`Unable to stop unit ${unit.name} in state inactive`);
    }
    if (!isGlobal(unit) && current === "loaded" && unit.desiredState === "loaded") continue;
    await client.setDesiredState(unit.name, "loaded");
    if (isGlobal(unit)) io.out(`Triggered global unit ${unit.name} stop\n`);
    else stopping.push(unit.name);
  }
  await orFail(waitForState(context, stopping, "loaded", "stop", blocking), "stop", stopping);
  io.err(`Successfully stopped units [${stopping.join(" ")}].`);
  return 0;
}

/** `fleetctl unload`. */
export async function unload(context: Context, args: readonly string[], blocking: Blocking): Promise<number> {
  const { io, client } = context;
  const units = await findUnits(context, args);
  if (units === undefined) return 0;
  const waiting: string[] = [];
  for (const unit of units) {
    if (!isGlobal(unit) && unit.currentState === "inactive" && unit.desiredState === "inactive") continue;
    await client.setDesiredState(unit.name, "inactive");
    if (isGlobal(unit)) io.out(`Triggered global unit ${unit.name} unload\n`);
    else waiting.push(unit.name);
  }
  await orFail(waitForState(context, waiting, "inactive", "unload", blocking), "unload", waiting);
  io.err(`Successfully unloaded units [${waiting.join(" ")}].`);
  return 0;
}

/** `fleetctl destroy`: returns when the units have ended everywhere. */
export async function destroy(context: Context, args: readonly string[], blocking: Blocking): Promise<number> {
  const { io, client } = context;
  const units = await findUnits(context, args);
  if (units === undefined) return 0;
  let exitCode = 0;
  for (const unit of units) {
    try {
      await client.destroyUnit(unit.name);
      await waitForGone(context, [unit.name], blocking);
      io.out(`Destroyed ${unit.name}\n`);
    } catch (error) {
      io.err(`Error destroying units: ${formatErrorChain(error)}`);
      exitCode = 1;
    }
  }
  return exitCode;
}

/** `fleetctl restart`: stops and starts one unit after the other. */
export async function restart(context: Context, args: readonly string[], blocking: Blocking): Promise<number> {
  const { io, client } = context;
  const units = await findUnits(context, args);
  if (units === undefined) return 0;
  let exitCode = 0;
  for (const unit of units) {
    if (isGlobal(unit)) {
      io.err(`Unable to restart global unit ${unit.name}: stop it and start it`);
      exitCode = 1;
      continue;
    }
    if ((unit.currentState ?? "inactive") === "inactive") {
      io.err(`Unable to restart unit ${unit.name} in state inactive`);
      exitCode = 1;
      continue;
    }
    if (unit.currentState === "launched") {
      await client.setDesiredState(unit.name, "loaded");
      await waitForState(context, [unit.name], "loaded", "restart", { ...blocking, isBlocking: true });
    }
    await client.setDesiredState(unit.name, "launched");
    await waitForState(context, [unit.name], "launched", "restart", blocking);
    await waitForActive(context, [unit.name], blocking);
  }
  return exitCode;
}

function nothing({ io }: Context): number {
  io.err("No units given");
  return 0;
}

/** Units of the registry that are named; undefined, and said so, when there are none. */
async function findUnits(context: Context, args: readonly string[]): Promise<UnitEntity[] | undefined> {
  if (args.length === 0) {
    nothing(context);
    return undefined;
  }
  const units = new Map((await context.client.units()).map((unit) => [unit.name, unit]));
  const found = args.flatMap((arg) => units.get(unitName(arg)) ?? []);
  if (found.length > 0) return found;
  context.io.err("Units not found in registry");
  return undefined;
}

/** Sets the desired state of all; gives those that are to be waited for. */
async function setAll(
  { io, client }: Context,
  args: readonly string[],
  state: DesiredState,
  verb: string,
  failure: string,
): Promise<string[]> {
  const waiting: string[] = [];
  try {
    for (const name of args.map(unitName)) {
      const unit = await client.unit(name);
      if (unit === undefined) throw new CommandError(`unable to find unit ${name}`);
      if (unit.desiredState !== state) await client.setDesiredState(name, state);
      else if (isGlobal(unit) || unit.currentState === state) continue;
      if (isGlobal(unit)) io.out(`Triggered global unit ${name} ${verb}\n`);
      else waiting.push(name);
    }
  } catch (error) {
    throw new CommandError(`${failure}: ${formatErrorChain(error)}`);
  }
  return waiting;
}

async function orFail(waiting: Promise<void>, verb: string, names: readonly string[]): Promise<void> {
  try {
    await waiting;
  } catch (error) {
    throw new CommandError(`Failed to ${verb} units [${names.join(" ")}]. err: ${formatErrorChain(error)}`);
  }
}
