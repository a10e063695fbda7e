import { open, rename, rm } from "node:fs/promises";
import type { Command } from "commander";
import { type Context, failing } from "../context.ts";
import { badArgs, Exit, ExitError } from "../exit.ts";
import { parseInt64 } from "../go.ts";
import { memberIdArg } from "../numbers.ts";
import { limits, targets } from "./endpoint.ts";

/** The version of etcd whose behaviour this program follows. */
export const ETCD_VERSION = "3.7.1";

export function addMaintenanceCommands(program: Command, context: Context): void {
  program
    .command("version")
    .summary("prints the version of etcdctl")
    .action(() => {
      context.io.out(`etcdctl version: ${ETCD_VERSION}\nAPI version: ${ETCD_VERSION.replace(/\.\d+$/, "")}\n`);
    });
  addCompaction(program, context);
  addAlarm(program, context);
  addDefrag(program, context);
  addMoveLeader(program, context);
  addSnapshot(program, context);
}

function addCompaction(program: Command, context: Context): void {
  program
    .command("compaction")
    .summary("forgets history below a revision")
    .argument("[revision]", "the oldest revision that stays readable")
    .option("--physical", "wait until the space is free")
    .addHelpText("after", "\nExample:\n  etcdctl compaction 1234")
    .action(async (_revision, flags: { physical?: boolean }, command: Command) => {
      const [text] = command.args;
      if (text === undefined || command.args.length > 1) return badArgs("compaction command needs 1 argument");
      const revision = parseInt64(text, 10);
      if (typeof revision !== "bigint") throw new ExitError(Exit.ERROR, revision);
      const { KV } = await import("@keelson/proto");
      const client = await context.client(command);
      const request = { revision, physical: flags.physical === true };
      await failing(client.call("write", KV.method.compact, request));
      context.io.out(`compacted revision ${revision}\n`);
    });
}

function addAlarm(program: Command, context: Context): void {
  const alarm = program.command("alarm").summary("alarms: list, disarm");
  const request = (action: 0 | 2) => ({ action, memberID: 0n, alarm: 0 as const });
  alarm
    .command("list")
    .summary("lists the alarms that are on")
    .action(async (_flags, command: Command) => {
      const printer = await context.printer(command);
      const { Maintenance } = await import("@keelson/proto");
      const client = await context.client(command);
      context.io.out(printer.alarm(await failing(client.call("read", Maintenance.method.alarm, request(0)))));
    });
  alarm
    .command("disarm")
    .summary("turns all alarms off")
    .action(async (_flags, command: Command) => {
      const printer = await context.printer(command);
      const { AlarmResponseSchema, Maintenance } = await import("@keelson/proto");
      const { create } = await import("@bufbuild/protobuf");
      const client = await context.client(command);
      const on = await failing(client.call("read", Maintenance.method.alarm, request(0)));
      let last = create(AlarmResponseSchema, on.header === undefined ? {} : { header: on.header });
      for (const { memberID, alarm: type } of on.alarms) {
        const off = { action: 2 as const, memberID, alarm: type };
        last = await failing(client.call("write", Maintenance.method.alarm, off));
        context.io.out(printer.alarm(last));
      }
      if (on.alarms.length === 0) context.io.out(printer.alarm(last));
    });
}

function addDefrag(program: Command, context: Context): void {
  program
    .command("defrag")
    .summary("gives a member's unused space back")
    .option("--cluster", "all endpoints of the member list")
    .addHelpText("after", "\nExample:\n  etcdctl defrag --cluster")
    .action(async (flags: { cluster?: boolean }, command: Command) => {
      const { client, endpoints } = await targets(context, flags, command);
      let failed = false;
      for (const endpoint of endpoints) {
        try {
          await client.cluster.defragment(endpoint, limits(context, command));
          context.io.out(`Finished defragmenting etcd member[${endpoint}]\n`);
        } catch (error) {
          failed = true;
          const why = error instanceof Error ? error.message : String(error);
          context.io.err(`Failed to defragment etcd member[${endpoint}] (${why})\n`);
        }
      }
      if (failed) throw new ExitError(Exit.ERROR, "");
    });
}

function addMoveLeader(program: Command, context: Context): void {
  program
    .command("move-leader")
    .summary("hands the leadership to another member")
    .argument("[memberID]", "in hex")
    .addHelpText("after", "\nExample:\n  etcdctl move-leader 8e9e05c52164694d")
    .action(async (_id, _flags, command: Command) => {
      const [text] = command.args;
      if (text === undefined || command.args.length > 1) return badArgs("move-leader command needs 1 argument");
      const targetID = memberIdArg(text);
      const printer = await context.printer(command);
      const { Maintenance } = await import("@keelson/proto");
      const client = await context.client(command);
      for (const url of client.cluster.endpoints) {
        const status = await failing(client.cluster.status(url, limits(context, command)));
        if (status.leader !== status.memberId) continue;
        const reply = client.cluster.at(url, Maintenance.method.moveLeader, { targetID }, limits(context, command));
        return context.io.out(printer.moveLeader(status.leader, targetID, await failing(reply)));
      }
      return badArgs(`no leader endpoint given at [${client.cluster.endpoints.join(" ")}]`);
    });
}

function addSnapshot(program: Command, context: Context): void {
  const snapshot = program.command("snapshot").summary("snapshots: save");
  snapshot
    .command("save")
    .summary("stores a member's snapshot in a file")
    .argument("[filename]", "written whole or not at all")
    .addHelpText("after", "\nExample:\n  etcdctl snapshot save backup.db")
    .action(async (_name, _flags, command: Command) => {
      const [path] = command.args;
      if (path === undefined || command.args.length > 1) return badArgs("snapshot save expects one argument");
      const { endpoints } = context.globals(command);
      if (endpoints.length !== 1) {
        badArgs(`snapshot must be requested to one selected node, not multiple [${endpoints.join(" ")}]`);
      }
      const { Maintenance } = await import("@keelson/proto");
      const client = await context.client(command);
      const { channel } = client.cluster.endpoint(client.cluster.endpoints[0] ?? "");
      const part = `${path}.part`;
      await failing(save(part, path, channel.serverStream(Maintenance.method.snapshot, {})), Exit.IO);
      context.io.out(`Snapshot saved at ${path}\n`);
    });
}

/** Writes the chunks to `part`, syncs, and only then gives the file its name. */
async function save(part: string, path: string, chunks: AsyncIterable<{ blob: Uint8Array }>): Promise<void> {
  const file = await open(part, "w", 0o600);
  try {
    for await (const { blob } of chunks) await file.writeFile(blob);
    await file.sync();
    await file.close();
    await rename(part, path);
  } catch (error) {
    await file.close();
    await rm(part, { force: true });
    throw error;
  }
}
