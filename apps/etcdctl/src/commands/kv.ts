import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DeleteRangeRequestSchema, PutRequestSchema, RangeRequestSchema } from "@keelson/proto";
import type { Command } from "commander";
import { type Context, failing } from "../context.ts";
import { badArgs, Exit, ExitError } from "../exit.ts";
import { quote } from "../go.ts";
import type { Io } from "../io.ts";
import { int64Flag, leaseIdArg } from "../numbers.ts";
import { keyBytes, rangeOf } from "../ranges.ts";

export type GetRequest = MessageInitShape<typeof RangeRequestSchema>;
export type PutRequest = MessageInitShape<typeof PutRequestSchema>;
export type DelRequest = MessageInitShape<typeof DeleteRangeRequestSchema>;

export interface GetFlags {
  readonly consistency: string;
  readonly order: string;
  readonly sortBy: string;
  readonly limit: bigint;
  readonly rev: bigint;
  readonly prefix?: boolean;
  readonly fromKey?: boolean;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly printValueOnly?: boolean;
  readonly minCreateRev: bigint;
  readonly maxCreateRev: bigint;
  readonly minModRev: bigint;
  readonly maxModRev: bigint;
}

const SORT_BY = ["KEY", "VERSION", "CREATE", "MODIFY", "VALUE"];
const ORDER = ["", "ASCEND", "DESCEND"];

/** The flags of get; used by txn too. */
export function getOptions(command: Command): Command {
  const number = (name: string, description: string) =>
    command.option(`--${name} <n>`, description, int64Flag(name), 0n);
  command
    .argument("[key]", "the key")
    .argument("[range_end]", "gives every key from key up to, not including, this one")
    .option("--consistency <l|s>", "linearizable (l) or serializable (s)", "l")
    .option("--order <order>", "order of the results: ASCEND or DESCEND", "")
    .option("--sort-by <target>", "CREATE, KEY, MODIFY, VALUE or VERSION", "")
    .option("--prefix", "every key with this prefix")
    .option("--from-key", "every key from this one on")
    .option("--keys-only", "only the keys")
    .option("--count-only", "only the number of keys")
    .option("--print-value-only", "only the values, in the simple format");
  number("limit", "at most so many results; 0 for all");
  number("rev", "as of this revision; 0 for now");
  number("min-create-rev", "only keys created at or after this revision");
  number("max-create-rev", "only keys created at or before this revision");
  number("min-mod-rev", "only keys changed at or after this revision");
  return number("max-mod-rev", "only keys changed at or before this revision");
}

/** @throws {ExitError} */
export function getRequest(args: readonly string[], flags: GetFlags): GetRequest {
  const [key, end] = args;
  if (key === undefined) {
    return badArgs("get command needs one argument as key and an optional argument as range_end");
  }
  if (flags.keysOnly === true && flags.countOnly === true) {
    badArgs("`--keys-only` and `--count-only` cannot be set at the same time, choose one");
  }
  const bounds = rangeOf(key, end, flags);
  if (flags.consistency !== "l" && flags.consistency !== "s") {
    throw new ExitError(Exit.BAD_FEATURE, `unknown consistency flag ${quote(flags.consistency)}`);
  }
  const order = ORDER.indexOf(flags.order.toUpperCase());
  if (order < 0) throw new ExitError(Exit.BAD_FEATURE, `bad sort order ${flags.order}`);
  const target = flags.sortBy === "" ? 0 : SORT_BY.indexOf(flags.sortBy.toUpperCase());
  if (target < 0) throw new ExitError(Exit.BAD_FEATURE, `bad sort target ${flags.sortBy}`);
  return {
    ...bounds,
    serializable: flags.consistency === "s",
    sortOrder: order as 0 | 1 | 2,
    sortTarget: target as 0 | 1 | 2 | 3 | 4,
    limit: flags.limit,
    revision: flags.rev,
    keysOnly: flags.keysOnly === true,
    countOnly: flags.countOnly === true,
    minCreateRevision: flags.minCreateRev,
    maxCreateRevision: flags.maxCreateRev,
    minModRevision: flags.minModRev,
    maxModRevision: flags.maxModRev,
  };
}

export interface PutFlags {
  readonly lease: string;
  readonly prevKv?: boolean;
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
}

/** The flags of put; used by txn too. */
export function putOptions(command: Command): Command {
  return command
    .argument("[key]", "the key")
    .argument("[value]", "the value; without it standard input is read")
    .option("--lease <id>", "lease in hex that the key hangs on", "0")
    .option("--prev-kv", "also give what was there before")
    .option("--ignore-value", "keep the value and change only the lease")
    .option("--ignore-lease", "keep the lease and change only the value");
}

const PUT_ARGS = "put command needs 1 argument and input from stdin or 2 arguments";

/** @throws {ExitError} */
export async function putRequest(args: readonly string[], flags: PutFlags, io: Io | undefined): Promise<PutRequest> {
  const [key, value] = args;
  if (key === undefined || (flags.ignoreValue === true && args.length > 1)) return badArgs(PUT_ARGS);
  let bytes: Uint8Array = value === undefined ? new Uint8Array() : keyBytes(value);
  if (value === undefined && flags.ignoreValue !== true) {
    bytes = (await io?.readAll()) ?? bytes;
    if (bytes.length === 0) badArgs(PUT_ARGS);
  }
  return {
    key: keyBytes(key),
    value: bytes,
    lease: leaseIdArg(flags.lease, "bad lease ID"),
    prevKv: flags.prevKv === true,
    ignoreValue: flags.ignoreValue === true,
    ignoreLease: flags.ignoreLease === true,
  };
}

export interface DelFlags {
  readonly prefix?: boolean;
  readonly fromKey?: boolean;
  readonly prevKv?: boolean;
}

/** The flags of del; used by txn too. */
export function delOptions(command: Command): Command {
  return command
    .argument("[key]", "the key")
    .argument("[range_end]", "deletes every key from key up to, not including, this one")
    .option("--prefix", "every key with this prefix")
    .option("--from-key", "every key from this one on")
    .option("--range", "delete a range, as with range_end")
    .option("--prev-kv", "also give what was deleted");
}

/** @throws {ExitError} */
export function delRequest(args: readonly string[], flags: DelFlags): DelRequest {
  const [key, end] = args;
  if (key === undefined) {
    return badArgs("del command needs one argument as key and an optional argument as range_end");
  }
  return { ...rangeOf(key, end, flags), prevKv: flags.prevKv === true };
}

export function addKvCommands(program: Command, context: Context): void {
  getOptions(program.command("get").summary("gets the key or a range of keys"))
    .addHelpText("after", "\nExample:\n  etcdctl get foo\n  etcdctl get --prefix /registry/ --keys-only --limit 10")
    .action(async (_key, _end, flags: GetFlags, command: Command) => {
      const request = getRequest(command.args, flags);
      const { writeOut } = context.globals(command);
      if (flags.countOnly === true && writeOut !== "fields" && writeOut !== "json") {
        badArgs("--count-only is only for `--write-out=fields`");
      }
      if (flags.printValueOnly === true && writeOut !== "simple") {
        badArgs("print-value-only is only for `--write-out=simple`");
      }
      const printer = await context.printer(command, { valueOnly: flags.printValueOnly === true });
      const { KV } = await import("@keelson/proto");
      const client = await context.client(command);
      context.io.out(printer.get(await failing(client.call("read", KV.method.range, request))));
    });
  putOptions(program.command("put").summary("puts a value under a key"))
    .addHelpText("after", "\nExample:\n  etcdctl put foo bar\n  cat file | etcdctl put foo\n  etcdctl put -- foo -bar")
    .action(async (_key, _value, flags: PutFlags, command: Command) => {
      const request = await putRequest(command.args, flags, context.io);
      const printer = await context.printer(command);
      const { KV } = await import("@keelson/proto");
      const client = await context.client(command);
      context.io.out(printer.put(await failing(client.call("write", KV.method.put, request))));
    });
  delOptions(program.command("del").summary("removes the key or a range of keys"))
    .addHelpText("after", "\nExample:\n  etcdctl del foo\n  etcdctl del --prefix /tmp/ --prev-kv")
    .action(async (_key, _end, flags: DelFlags, command: Command) => {
      const request = delRequest(command.args, flags);
      const printer = await context.printer(command);
      const { KV } = await import("@keelson/proto");
      const client = await context.client(command);
      context.io.out(printer.del(await failing(client.call("write", KV.method.deleteRange, request))));
    });
}
