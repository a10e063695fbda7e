import { spawn } from "node:child_process";
import type { EtcdClient, Ownership } from "@keelson/etcd-client";
import type { Command } from "commander";
import { type Context, failing } from "../context.ts";
import { badArgs, Exit, ExitError } from "../exit.ts";
import type { Io } from "../io.ts";
import type { Printer } from "../printer/printer.ts";
import { keyBytes } from "../ranges.ts";

const ELECTION_TTL_S = 60;

export function addConcurrencyCommands(program: Command, context: Context): void {
  program
    .command("lock")
    .summary("holds a lock until interrupted, or while a command runs")
    .argument("[lockname]", "the lock")
    .argument("[command...]", "run while the lock is held, with ETCD_LOCK_KEY and ETCD_LOCK_REV in its environment")
    .option("--ttl <seconds>", "the lock is lost so long after this program has died", "10")
    .addHelpText("after", "\nExample:\n  etcdctl lock backup -- tar czf backup.tgz /data")
    .action(async (_name, _command, flags: { ttl: string }, command: Command) => {
      const [name, ...exec] = command.args;
      if (name === undefined) return badArgs("lock takes a lock name argument and an optional command to execute");
      const ttl = Number(flags.ttl);
      if (!(ttl > 0)) return badArgs(`bad TTL ${flags.ttl}: expected seconds above 0`);
      const printer = await context.printer(command);
      const client = await context.client(command);
      const interrupted = context.io.interrupted();
      const lease = await failing(client.lease.grant(ttl));
      const held = await failing(client.lock(name).acquire({ lease, signal: interrupted }));
      if (exec.length > 0) {
        const code = await run(context.io, exec, held);
        await held.release();
        if (code !== 0) throw new ExitError(code, `exit status ${code}`);
        return;
      }
      await printKey(context, client, printer, held.key);
      await either(interrupted, held.lost);
      if (held.lost.aborted) throw new ExitError(Exit.ERROR, "session expired");
      await held.release();
      await lease.revoke();
    });
  addElect(program, context);
}

function addElect(program: Command, context: Context): void {
  program
    .command("elect")
    .summary("takes part in an election, or listens to one")
    .argument("[election-name]", "the election")
    .argument("[proposal]", "what to announce when elected")
    .option("-l, --listen", "print each leader")
    .addHelpText("after", "\nExample:\n  etcdctl elect primary host-1\n  etcdctl elect -l primary")
    .action(async (_name, _proposal, flags: { listen?: boolean }, command: Command) => {
      const [name, proposal] = command.args;
      if (name === undefined || command.args.length > 2) {
        return badArgs("elect takes one election name argument and an optional proposal argument");
      }
      if (proposal === undefined && flags.listen !== true) badArgs("no proposal argument but -l not set");
      if (proposal !== undefined && flags.listen === true) badArgs("proposal given but -l is set");
      const printer = await context.printer(command);
      const client = await context.client(command);
      const interrupted = context.io.interrupted();
      if (proposal === undefined) return listen(context, client, printer, name, interrupted);
      const lease = await failing(client.lease.grant(ELECTION_TTL_S));
      const leadership = await failing(client.election(name).campaign(proposal, { lease, signal: interrupted }));
      await printKey(context, client, printer, leadership.key);
      await either(interrupted, leadership.lost);
      if (leadership.lost.aborted) throw new ExitError(Exit.ERROR, "elect: session expired");
      await leadership.resign();
      await lease.revoke();
    });
}

async function listen(
  context: Context,
  client: EtcdClient,
  printer: Printer,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const { KV } = await import("@keelson/proto");
  for await (const kv of client.election(name).observe({ signal })) {
    const request = { key: kv.key, revision: BigInt(kv.modRevision) };
    context.io.out(printer.get(await failing(client.call("read", KV.method.range, request))));
  }
}

async function printKey(context: Context, client: EtcdClient, printer: Printer, key: string): Promise<void> {
  const { KV } = await import("@keelson/proto");
  const reply = await failing(client.call("read", KV.method.range, { key: keyBytes(key) }));
  if (reply.kvs.length === 0) throw new ExitError(Exit.ERROR, "lock lost on init");
  context.io.out(printer.get(reply));
}

function either(a: AbortSignal, b: AbortSignal): Promise<void> {
  const any = AbortSignal.any([a, b]);
  // A timer keeps the process alive: nothing else may be going on.
  const alive = setInterval(() => undefined, 60_000);
  return new Promise((resolve) => {
    const done = () => {
      clearInterval(alive);
      resolve();
    };
    if (any.aborted) done();
    else any.addEventListener("abort", done, { once: true });
  });
}

function run(io: Io, exec: readonly string[], held: Ownership): Promise<number> {
  const [file = "", ...args] = exec;
  const env = { ...io.env, ETCD_LOCK_KEY: held.key, ETCD_LOCK_REV: String(held.revision) };
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env, stdio: "inherit" });
    child.on("error", (error) => reject(new ExitError(Exit.ERROR, error.message)));
    child.on("close", (code, signal) => resolve(code ?? (signal === null ? 1 : 128)));
  });
}
