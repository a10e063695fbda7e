import type { Command } from "commander";
import { type Context, failing } from "../context.ts";
import { badArgs, Exit, ExitError } from "../exit.ts";
import { hex16, parseInt64 } from "../go.ts";
import { leaseIdArg } from "../numbers.ts";

export function addLeaseCommand(program: Command, context: Context): void {
  const lease = program.command("lease").summary("leases: grant, revoke, keep-alive, list, timetolive");
  lease
    .command("grant")
    .summary("creates a lease")
    .argument("[ttl]", "seconds")
    .addHelpText("after", "\nExample:\n  etcdctl lease grant 60")
    .action(async (ttlText: string | undefined, _flags, command: Command) => {
      if (ttlText === undefined) return badArgs("lease grant command needs TTL argument");
      const ttl = parseInt64(ttlText, 10);
      if (typeof ttl !== "bigint") return badArgs(`bad TTL (${ttl})`);
      const printer = await context.printer(command);
      const { Lease } = await import("@keelson/proto");
      const client = await context.client(command);
      const reply = client.call("write", Lease.method.leaseGrant, { TTL: ttl });
      context.io.out(printer.grant(await failing(reply, Exit.ERROR, (why) => `failed to grant lease (${why})`)));
    });
  lease
    .command("revoke")
    .summary("ends a lease and deletes its keys")
    .argument("[leaseID]", "in hex")
    .addHelpText("after", "\nExample:\n  etcdctl lease revoke 694d77aa9e38260f")
    .action(async (idText: string | undefined, _flags, command: Command) => {
      if (idText === undefined) return badArgs("lease revoke command needs 1 argument");
      const ID = leaseIdArg(idText);
      const printer = await context.printer(command);
      const { Lease } = await import("@keelson/proto");
      const client = await context.client(command);
      const reply = client.call("write", Lease.method.leaseRevoke, { ID });
      context.io.out(printer.revoke(ID, await failing(reply, Exit.ERROR, (why) => `failed to revoke lease (${why})`)));
    });
  lease
    .command("timetolive")
    .summary("says how long a lease has left")
    .argument("[leaseID]", "in hex")
    .option("--keys", "also the keys that hang on it")
    .addHelpText("after", "\nExample:\n  etcdctl lease timetolive --keys 694d77aa9e38260f")
    .action(async (idText: string | undefined, flags: { keys?: boolean }, command: Command) => {
      if (idText === undefined) return badArgs("lease timetolive command needs lease ID as argument");
      const request = { ID: leaseIdArg(idText), keys: flags.keys === true };
      const printer = await context.printer(command);
      const { Lease } = await import("@keelson/proto");
      const client = await context.client(command);
      const reply = await failing(client.call("read", Lease.method.leaseTimeToLive, request), Exit.BAD_CONNECTION);
      context.io.out(printer.timeToLive(reply, request.keys));
    });
  lease
    .command("list")
    .summary("lists all leases")
    .addHelpText("after", "\nExample:\n  etcdctl lease list")
    .action(async (_flags, command: Command) => {
      const printer = await context.printer(command);
      const { Lease } = await import("@keelson/proto");
      const client = await context.client(command);
      context.io.out(printer.leases(await failing(client.call("read", Lease.method.leaseLeases, {}))));
    });
  addKeepAlive(lease, context);
}

function addKeepAlive(lease: Command, context: Context): void {
  lease
    .command("keep-alive")
    .summary("renews a lease until it ends, or once")
    .argument("[leaseID]", "in hex")
    .option("--once", "only one renewal")
    .addHelpText("after", "\nExample:\n  etcdctl lease keep-alive --once 694d77aa9e38260f")
    .action(async (idText: string | undefined, flags: { once?: boolean }, command: Command) => {
      if (idText === undefined) return badArgs("lease keep-alive command needs lease ID as argument");
      const ID = leaseIdArg(idText);
      const printer = await context.printer(command);
      const { Lease } = await import("@keelson/proto");
      const { Metadata } = await import("@keelson/grpc");
      const client = await context.client(command);
      const [url = ""] = client.cluster.endpoints;
      const call = client.cluster.endpoint(url).channel.bidi(Lease.method.leaseKeepAlive, { metadata: new Metadata() });
      for (;;) {
        await call.send({ ID });
        const step = await failing(call.next(), Exit.BAD_CONNECTION);
        const ttl = step.done === true ? 0n : step.value.TTL;
        if (step.done === true || ttl <= 0n) break;
        context.io.out(printer.keepAlive(step.value));
        if (flags.once === true) return call.cancel();
        await new Promise((resolve) => setTimeout(resolve, Math.max(500, (Number(ttl) * 1_000) / 3)));
      }
      call.cancel();
      if (flags.once === true) throw new ExitError(Exit.BAD_CONNECTION, "etcdserver: requested lease not found");
      context.io.out(`lease ${hex16(ID)} expired or revoked.\n`);
    });
}
