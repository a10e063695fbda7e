import type { EtcdClient } from "@keelson/etcd-client";
import type { Command } from "commander";
import { type Context, failing } from "../context.ts";
import { Exit, ExitError } from "../exit.ts";
import { int64Flag } from "../numbers.ts";
import type { HashRow, StatusRow } from "../printer/printer.ts";

export function addEndpointCommand(program: Command, context: Context): void {
  const endpoint = program.command("endpoint").summary("endpoints: health, status, hashkv");
  endpoint
    .command("health")
    .summary("says whether each endpoint commits a proposal")
    .option("--cluster", "all endpoints of the member list")
    .addHelpText("after", "\nExample:\n  etcdctl endpoint health --cluster")
    .action(async (flags: ClusterFlag, command: Command) => {
      const printer = await context.printer(command);
      const { client, endpoints } = await targets(context, flags, command);
      const rows = await Promise.all(
        endpoints.map(async (url) => {
          const health = await client.cluster.health(url, limits(context, command));
          const error = health.error?.message ?? (await alarmsOf(client, url, limits(context, command)));
          return { endpoint: url, healthy: error === "", tookMs: health.tookMs, error };
        }),
      );
      context.io.out(printer.health(rows));
      const sick = rows.filter((row) => !row.healthy);
      if (context.globals(command).writeOut === "simple") {
        for (const row of sick) {
          context.io.err(`${row.endpoint} is unhealthy: failed to commit proposal: ${row.error}\n`);
        }
      }
      if (sick.length > 0) throw new ExitError(Exit.ERROR, "unhealthy cluster");
    });
  endpoint
    .command("status")
    .summary("prints the state of each endpoint")
    .option("--cluster", "all endpoints of the member list")
    .addHelpText("after", "\nExample:\n  etcdctl endpoint status --cluster -w table")
    .action(async (flags: ClusterFlag, command: Command) => {
      const printer = await context.printer(command);
      const { Maintenance } = await import("@keelson/proto");
      const { client, endpoints } = await targets(context, flags, command);
      const { rows, failed } = await each<StatusRow>(context, endpoints, "status", async (url) => ({
        endpoint: url,
        response: await client.cluster.at(url, Maintenance.method.status, {}, limits(context, command)),
      }));
      context.io.out(printer.status(rows));
      if (failed) throw new ExitError(Exit.ERROR, "");
    });
  endpoint
    .command("hashkv")
    .summary("prints the hash of each endpoint's history")
    .option("--cluster", "all endpoints of the member list")
    .option("--rev <n>", "up to this revision; 0 for all", int64Flag("rev"), 0n)
    .addHelpText("after", "\nExample:\n  etcdctl endpoint hashkv --cluster")
    .action(async (flags: ClusterFlag & { rev: bigint }, command: Command) => {
      const printer = await context.printer(command);
      const { Maintenance } = await import("@keelson/proto");
      const { client, endpoints } = await targets(context, flags, command);
      const request = { revision: flags.rev };
      const { rows, failed } = await each<HashRow>(context, endpoints, "hash", async (url) => ({
        endpoint: url,
        response: await client.cluster.at(url, Maintenance.method.hashKV, request, limits(context, command)),
      }));
      context.io.out(printer.hashKv(rows));
      if (failed) throw new ExitError(Exit.ERROR, "");
    });
}

/** A member with an alarm is not healthy either. Empty when there is none. */
async function alarmsOf(client: EtcdClient, url: string, limit: { timeoutMs: number }): Promise<string> {
  const { AlarmType, Maintenance } = await import("@keelson/proto");
  try {
    const { alarms } = await client.cluster.at(url, Maintenance.method.alarm, { action: 0 }, limit);
    const name = (a: number) =>
      a === AlarmType.NOSPACE ? "NOSPACE " : a === AlarmType.CORRUPT ? "CORRUPT " : "UNKNOWN ";
    return alarms.length === 0 ? "" : `Active Alarm(s): ${alarms.map((a) => name(a.alarm)).join("")}`;
  } catch {
    return "Unable to fetch the alarm list";
  }
}

interface ClusterFlag {
  readonly cluster?: boolean;
}

/** The endpoints that a command is about: those of the flags, or every member's. */
export async function targets(
  context: Context,
  flags: ClusterFlag,
  command: Command,
): Promise<{ client: EtcdClient; endpoints: readonly string[] }> {
  const client = await context.client(command);
  if (flags.cluster !== true) return { client, endpoints: client.cluster.endpoints };
  const members = await failing(client.cluster.memberList({ linearizable: false }));
  const endpoints = [...new Set(members.flatMap((m) => m.clientUrls))];
  if (endpoints.length === 0) throw new ExitError(Exit.ERROR, "no member of the cluster has a client URL");
  return { client: await context.client(command, endpoints), endpoints };
}

export function limits(context: Context, command: Command): { timeoutMs: number } {
  return { timeoutMs: context.globals(command).commandTimeoutMs };
}

async function each<T>(
  context: Context,
  endpoints: readonly string[],
  what: string,
  ask: (endpoint: string) => Promise<T>,
): Promise<{ rows: T[]; failed: boolean }> {
  const rows: T[] = [];
  let failed = false;
  for (const endpoint of endpoints) {
    try {
      rows.push(await ask(endpoint));
    } catch (error) {
      failed = true;
      const why = error instanceof Error ? error.message : String(error);
      context.io.err(`Failed to get the ${what} of endpoint ${endpoint} (${why})\n`);
    }
  }
  return { rows, failed };
}
