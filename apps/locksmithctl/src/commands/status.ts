import type { HolderStatus, SemaphoreStatus } from "@keelson/locksmith";
import type { Context } from "../ctl.ts";
import { CommandError } from "../io.ts";
import { alignTabs } from "../tabwriter.ts";
import { withSemaphore } from "./semaphore.ts";

/** `locksmithctl status`: upstream's text; `wide` and `json` say more. */
export async function status(context: Context): Promise<number> {
  const { flags, io } = context;
  const form = (flags.get("output") ?? flags.get("o"))?.[0] ?? "text";
  const render = RENDERERS[form];
  if (render === undefined) throw new CommandError(`unknown output ${JSON.stringify(form)}: text, wide or json`, 2);
  const found = await withSemaphore(context, "Error setting value:", (semaphore) => semaphore.status(io.signal));
  io.out(render(found, io.nowMs()));
  return 0;
}

const RENDERERS: Readonly<Record<string, (status: SemaphoreStatus, nowMs: number) => string>> = {
  text: renderText,
  wide: renderWide,
  json: renderJson,
};

function renderText({ available, max, holders }: SemaphoreStatus): string {
  const lines = [`Available: ${available}`, `Max: ${max}`];
  if (holders.length > 0) lines.push("", "MACHINE ID", ...holders.map(({ id }) => id));
  return `${lines.join("\n")}\n`;
}

function renderWide({ available, max, holders, waiters }: SemaphoreStatus, nowMs: number): string {
  const lines = [`Available: ${available}`, `Max: ${max}`];
  if (holders.length > 0) {
    const rows = holders.map((holder) => [
      holder.id,
      holder.record?.machine ?? "-",
      ageOf(holder.record?.sinceMs, nowMs),
      STATES[holder.kind],
      purposeOf(holder),
    ]);
    lines.push("", ...[["MACHINE ID", "NAME", "AGE", "STATE", "FOR"], ...rows].map((row) => row.join("\t")));
  }
  if (waiters.length > 0) {
    const rows = waiters.map(({ id, machine, sinceMs }) => [id, machine ?? "-", ageOf(sinceMs, nowMs)]);
    lines.push("", ...[["WAITING", "NAME", "AGE"], ...rows].map((row) => row.join("\t")));
  }
  return alignTabs(`${lines.join("\n")}\n`);
}

const STATES: Readonly<Record<HolderStatus["kind"], string>> = {
  alive: "held",
  stale: "stale", // its lease has ended: unlock --stale, or whoever waits, gives it on
  manual: "by hand",
};

function purposeOf({ record }: HolderStatus): string {
  return record?.version === undefined ? (record?.reason ?? "-") : `${record.reason ?? "update"} to ${record.version}`;
}

function renderJson({ available, max, holders, waiters }: SemaphoreStatus, nowMs: number): string {
  const age = (sinceMs: number | undefined) =>
    sinceMs === undefined
      ? {}
      : { since: new Date(sinceMs).toISOString(), ageSeconds: Math.max(0, Math.round((nowMs - sinceMs) / 1_000)) };
  const value = {
    available,
    max,
    holders: holders.map(({ id, kind, record }) => ({
      id,
      kind,
      ...(record?.machine === undefined ? {} : { machine: record.machine }),
      ...age(record?.sinceMs),
      ...(record?.version === undefined ? {} : { version: record.version }),
      ...(record?.reason === undefined ? {} : { reason: record.reason }),
      ...(record?.isGoingDown === true ? { isGoingDown: true } : {}),
    })),
    waiters: waiters.map(({ id, machine, sinceMs }) => ({
      id,
      ...(machine === undefined ? {} : { machine }),
      ...age(sinceMs),
    })),
  };
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** `45s`, `3m`, `2h`, `5d`: one unit is enough to see what is wrong. */
function ageOf(sinceMs: number | undefined, nowMs: number): string {
  if (sinceMs === undefined) return "-";
  const seconds = Math.max(0, Math.round((nowMs - sinceMs) / 1_000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
