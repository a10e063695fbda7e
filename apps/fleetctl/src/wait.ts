import type { DesiredState, FleetClient, UnitEntity } from "@keelson/fleet/client";
import { CommandError, type Context } from "./io.ts";
import { machineLegend } from "./legend.ts";
import { isGlobal } from "./names.ts";

/** Pauses between looks: short at first, as most units take no time to start. */
const POLL_MIN_MS = 25;
const POLL_MAX_MS = 250;
/** One attempt of --block-attempts. */
const ATTEMPT_MS = 2_000;
/** An end state is believed when it has lasted so long: the start itself may not have been reported yet. */
const SETTLE_MS = 1_500;

/** How long commands wait. */
export interface Blocking {
  /** False: not at all. */
  readonly isBlocking: boolean;
  /** 0: for ever. */
  readonly attempts: number;
}

/** Undefined as long as it has to be waited for; else the line to print. */
type Check = (unit: UnitEntity | undefined) => Promise<string | undefined>;

/** Waits until all units report a state, each printed as it does. @throws CommandError */
export async function waitForState(
  context: Context,
  names: readonly string[],
  state: DesiredState,
  verb: string,
  blocking: Blocking,
): Promise<void> {
  if (!blocking.isBlocking) {
    for (const name of names) context.io.out(`Triggered unit ${name} ${verb}\n`);
    return;
  }
  const machines = await context.client.machines().catch(() => []);
  const check: Check = async (unit) => {
    if (unit === undefined) return undefined;
    // A global unit has no current state of its own.
    if ((isGlobal(unit) ? unit.desiredState : (unit.currentState ?? "inactive")) !== state) return undefined;
    const where = unit.machineID === undefined ? "" : ` on ${machineLegend(unit.machineID, machines, false)}`;
    return `Unit ${unit.name} ${unit.currentState ?? unit.desiredState}${where}`;
  };
  await Promise.all(names.map((name) => poll(context, name, check, `report state ${state}`, blocking)));
}

/** After `launched`: waits until the units are active, have failed or have ended. @throws CommandError */
export async function waitForActive(context: Context, names: readonly string[], blocking: Blocking): Promise<void> {
  if (!blocking.isBlocking) return;
  await Promise.all(
    names.map(async (name) => {
      const ended = { state: "", sinceMs: 0 };
      await poll(context, name, (unit) => checkActive(context, unit, ended), "report active state", blocking);
    }),
  );
}

async function checkActive(
  { client, io }: Context,
  unit: UnitEntity | undefined,
  ended: { state: string; sinceMs: number },
): Promise<string | undefined> {
  if (unit?.machineID === undefined) return undefined;
  const states = await client.states({ unitName: unit.name, machineID: unit.machineID });
  const { systemdActiveState: active = "", systemdLoadState: load = "" } = states[0] ?? {};
  if (active === "active" && load === "loaded") return "";
  if (active !== "failed" && active !== "inactive") return undefined;
  if (ended.state !== active) Object.assign(ended, { state: active, sinceMs: io.nowMs() });
  if (io.nowMs() - ended.sinceMs < SETTLE_MS) return undefined;
  if (active === "inactive") return `Unit ${unit.name} has ended`;
  throw new CommandError(`Error waiting for units: unit ${unit.name} failed (see: fleetctl journal ${unit.name})`);
}

/** Waits until nothing of the units is left, in the registry and on machines. @throws CommandError */
export async function waitForGone(context: Context, names: readonly string[], blocking: Blocking): Promise<void> {
  if (!blocking.isBlocking) return;
  const check = async (name: string): Promise<string | undefined> => {
    if ((await context.client.unit(name)) !== undefined) return undefined;
    return (await context.client.states({ unitName: name })).length === 0 ? "" : undefined;
  };
  await Promise.all(names.map((name) => poll(context, name, () => check(name), "be gone", blocking)));
}

async function poll(context: Context, name: string, check: Check, what: string, blocking: Blocking): Promise<void> {
  const { io, client } = context;
  const deadlineMs = io.nowMs() + blocking.attempts * ATTEMPT_MS;
  let shown = "";
  for (let pauseMs = POLL_MIN_MS; ; pauseMs = Math.min(2 * pauseMs, POLL_MAX_MS)) {
    const unit = await client.unit(name);
    const line = await check(unit);
    if (line !== undefined) {
      if (line !== "") io.out(`${line}\n`);
      return;
    }
    const reason = await reasonFor(client, unit);
    if (reason !== shown && io.isWatched) io.err(`Waiting for ${name}: ${reason}`);
    shown = reason;
    if (blocking.attempts > 0 && io.nowMs() >= deadlineMs) {
      throw new CommandError(
        `Error waiting for units: timed out waiting for unit ${name} to ${what}${reason === "" ? "" : `\n  ${reason}`}`,
      );
    }
    io.signal.throwIfAborted();
    await io.sleep(pauseMs);
  }
}

/** What the engine says of a unit that is nowhere; empty when it says nothing, or is upstream's. */
async function reasonFor(client: FleetClient, unit: UnitEntity | undefined): Promise<string> {
  if (unit === undefined || unit.machineID !== undefined) return "";
  return (await client.why(unit.name).catch(() => undefined))?.reason ?? "";
}
