import { spawn } from "node:child_process";
import type { EtcdClient, KeyRange, KeyValue, Watch, WatchBatch } from "@keelson/etcd-client";
import type { WatchResponse } from "@keelson/proto";
import type { Command } from "commander";
import { Command as Parser } from "commander";
import type { Context } from "../context.ts";
import { badArgs, Exit, ExitError } from "../exit.ts";
import { quote } from "../go.ts";
import { int64Flag } from "../numbers.ts";
import type { Printer } from "../printer/printer.ts";
import { keyBytes } from "../ranges.ts";
import { splitWords } from "../words.ts";

interface WatchFlags {
  readonly interactive?: boolean;
  readonly prefix?: boolean;
  readonly rev: bigint;
  readonly prevKv?: boolean;
  readonly progressNotify?: boolean;
}

function watchOptions(command: Command): Command {
  return command
    .argument("[key]", "the key; default ETCDCTL_WATCH_KEY")
    .argument("[range_end]", "watches every key from key up to, not including, this one")
    .option("-i, --interactive", "read watch and progress lines from standard input")
    .option("--prefix", "every key with this prefix")
    .option("--rev <n>", "start at this revision; 0 for now", int64Flag("rev"), 0n)
    .option("--prev-kv", "also give what was there before each event")
    .option("--progress-notify", "print the revision when nothing happens for long");
}

const HELP = `
What stands behind -- is run for each event, with ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and
ETCD_WATCH_VALUE in its environment.

Example:
  etcdctl watch --prefix /jobs/
  etcdctl watch foo -- sh -c 'echo "$ETCD_WATCH_KEY"'`;

/** `exec` is what stood behind `--` on the command line. */
export function addWatchCommand(program: Command, context: Context, exec: readonly string[]): void {
  watchOptions(program.command("watch").summary("prints events of a key or a range as they happen"))
    .addHelpText("after", HELP)
    .action(async (_key, _end, flags: WatchFlags, command: Command) => {
      const printer = await context.printer(command);
      const envKey = context.io.env["ETCDCTL_WATCH_KEY"] ?? "";
      const envEnd = context.io.env["ETCDCTL_WATCH_RANGE_END"] ?? "";
      if (envKey === "" && envEnd !== "") {
        badArgs(`ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END=${quote(envEnd)}`);
      }
      const fallback = envKey === "" ? [] : envEnd === "" ? [envKey] : [envKey, envEnd];
      const client = await context.client(command);
      if (flags.interactive === true) return interactive(context, client, printer, fallback);
      const args = command.args.length === 0 ? fallback : command.args;
      await follow(context, client.watch(toWatch(args, flags)), printer, exec);
      throw new ExitError(Exit.INTERRUPTED, "watch is canceled by the server");
    });
}

function toWatch(args: readonly string[], flags: WatchFlags) {
  const [key, end] = args;
  if (key === undefined || args.length > 2) return badArgs("bad number of arguments");
  if (end !== undefined && flags.prefix === true) badArgs("`range_end` and `--prefix` are mutually exclusive");
  const range: KeyRange =
    flags.prefix === true
      ? { prefix: key }
      : end !== undefined
        ? { from: key, to: end }
        : key === ""
          ? { from: "" }
          : { key };
  return {
    ...range,
    ...(flags.rev > 0n ? { startRevision: Number(flags.rev) } : {}),
    prevKv: flags.prevKv === true,
    progressNotify: flags.progressNotify === true,
  };
}

/** Prints a watch until it ends, running `exec` for each event. */
async function follow(context: Context, watch: Watch, printer: Printer, exec: readonly string[]): Promise<void> {
  const { WatchResponseSchema } = await import("@keelson/proto");
  const { create } = await import("@bufbuild/protobuf");
  try {
    for await (const batch of watch) {
      if (batch.events.length === 0) context.io.out(`progress notify: ${batch.revision}\n`);
      const response = create(WatchResponseSchema, toResponse(batch));
      context.io.out(printer.watch(response));
      for (const event of response.events) if (exec.length > 0) await run(context, exec, response, event);
    }
  } catch (error) {
    if (error instanceof ExitError) throw error;
    context.io.err(`watch was canceled (${error instanceof Error ? error.message : String(error)})\n`);
  }
}

function toResponse(batch: WatchBatch) {
  const kv = (k: KeyValue) => ({
    key: k.key,
    value: k.value,
    createRevision: BigInt(k.createRevision),
    modRevision: BigInt(k.modRevision),
    version: BigInt(k.version),
    lease: k.lease,
  });
  return {
    ...(batch.header === undefined ? {} : { header: batch.header }),
    events: batch.events.map((e) => ({
      type: e.type === "delete" ? (1 as const) : (0 as const),
      kv: kv(e.kv),
      ...(e.prevKv === undefined ? {} : { prevKv: kv(e.prevKv) }),
    })),
  };
}

function run(
  context: Context,
  exec: readonly string[],
  response: WatchResponse,
  event: WatchResponse["events"][number],
): Promise<void> {
  const [file = "", ...args] = exec;
  const env = {
    ...context.io.env,
    ETCD_WATCH_REVISION: String(response.header?.revision ?? 0n),
    ETCD_WATCH_EVENT_TYPE: quote(event.type === 1 ? "DELETE" : "PUT"),
    ETCD_WATCH_KEY: quote(event.kv?.key ?? keyBytes("")),
    ETCD_WATCH_VALUE: quote(event.kv?.value ?? keyBytes("")),
  };
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new ExitError(Exit.ERROR, `command ${quote(exec.join(" "))} error (${why})`));
    const child = spawn(file, args, { env, stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", (error) => fail(error.message));
    child.on("close", (code, signal) => (code === 0 ? resolve() : fail(signal ?? `exit status ${code}`)));
  });
}

async function interactive(
  context: Context,
  client: EtcdClient,
  printer: Printer,
  fallback: readonly string[],
): Promise<never> {
  for await (const line of context.io.lines()) {
    const words = splitWords(line);
    if (words[0] === "progress") await client.requestProgress();
    else if (words[0] === "watch") startOne(context, client, printer, fallback, line, words.slice(1));
    else if (words.length === 0) context.io.err(`Invalid command: ${line} (watch and progress supported)\n`);
    else context.io.err(`Invalid command ${line} (only support watch)\n`);
  }
  throw new ExitError(Exit.INVALID_INPUT, "error reading watch request line: EOF");
}

function startOne(
  context: Context,
  client: EtcdClient,
  printer: Printer,
  fallback: readonly string[],
  line: string,
  words: readonly string[],
): void {
  const cut = words.indexOf("--");
  const exec = cut < 0 ? [] : words.slice(cut + 1);
  const parser = watchOptions(new Parser("watch"))
    .exitOverride()
    .configureOutput({ writeOut() {}, writeErr() {} });
  try {
    parser.parse(cut < 0 ? words : words.slice(0, cut), { from: "user" });
    const args = parser.args.length === 0 ? fallback : parser.args;
    if (args.length === 0) {
      return context.io.err(`Invalid command ${line} (command type or key is not provided)\n`);
    }
    void follow(context, client.watch(toWatch(args, parser.opts())), printer, exec).catch((error: unknown) => {
      context.io.err(`${error instanceof Error ? error.message : String(error)}\n`);
    });
  } catch (error) {
    context.io.err(`Invalid command ${line} (${error instanceof Error ? error.message : String(error)})\n`);
  }
}
