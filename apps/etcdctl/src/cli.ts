import { Command, CommanderError } from "commander";
import { addCompletionCommand } from "./commands/completion.ts";
import { addConcurrencyCommands } from "./commands/concurrency.ts";
import { addEndpointCommand } from "./commands/endpoint.ts";
import { addKvCommands } from "./commands/kv.ts";
import { addLeaseCommand } from "./commands/lease.ts";
import { addMaintenanceCommands } from "./commands/maintenance.ts";
import { addMemberCommand } from "./commands/member.ts";
import { addTxnCommand } from "./commands/txn.ts";
import { addWatchCommand } from "./commands/watch.ts";
import { connect } from "./connect.ts";
import { type Context, FORMATS } from "./context.ts";
import { Exit, ExitError } from "./exit.ts";
import { addGlobalOptions, readGlobals } from "./globals.ts";
import { quote } from "./go.ts";
import type { Io } from "./io.ts";
import type { Printer } from "./printer/printer.ts";

/** Runs etcdctl with its arguments (without the program's name) and resolves with the exit code. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const closers: (() => void)[] = [];
  const { args, exec } = splitExec(argv);
  const program = build(io, exec, closers);
  try {
    await program.parseAsync(plainBooleans(program, args), { from: "user" });
    return 0;
  } catch (error) {
    return report(error, io);
  } finally {
    for (const close of closers) close();
  }
}

function build(io: Io, exec: readonly string[], closers: (() => void)[]): Command {
  const program = new Command("etcdctl")
    .description("A command line client of etcd v3.")
    .exitOverride()
    .showSuggestionAfterError(false)
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: () => undefined })
    .allowExcessArguments(true);
  addGlobalOptions(program);
  const context: Context = {
    io,
    globals: () => readGlobals(program, io.env),
    client: async (_command, endpoints) => {
      const client = await connect(readGlobals(program, io.env), endpoints);
      closers.push(() => client.close());
      return client;
    },
    printer: (_command, options = {}) => makePrinter(readGlobals(program, io.env), options.valueOnly === true),
  };
  addKvCommands(program, context);
  addTxnCommand(program, context);
  addWatchCommand(program, context, exec);
  addLeaseCommand(program, context);
  addMemberCommand(program, context);
  addEndpointCommand(program, context);
  addMaintenanceCommands(program, context);
  addConcurrencyCommands(program, context);
  addCompletionCommand(program, context);
  for (const group of [program, ...program.commands.filter((c) => c.commands.length > 0)])
    showHelpWithoutCommand(group);
  return program;
}

/** `etcdctl` and `etcdctl lease` alone print their help; an unknown word is an error. */
function showHelpWithoutCommand(group: Command): void {
  group
    .usage("[flags] <command>")
    .argument("[command]")
    .action(() => {
      const [word] = group.args;
      if (word === undefined) return group.outputHelp();
      const path = group.name() === "etcdctl" ? "etcdctl" : `etcdctl ${group.name()}`;
      throw new ExitError(
        Exit.ERROR,
        `unknown command ${quote(word)} for ${quote(path)}\nRun '${path} --help' for usage.`,
      );
    });
}

async function makePrinter(globals: { writeOut: string; hex: boolean }, valueOnly: boolean): Promise<Printer> {
  const { hex } = globals;
  const format = FORMATS.find((f) => f === globals.writeOut);
  switch (format) {
    case "simple":
      return (await import("./printer/simple.ts")).simplePrinter({ hex, valueOnly });
    case "fields":
      return (await import("./printer/fields.ts")).fieldsPrinter();
    case "json":
      return (await import("./printer/json.ts")).jsonPrinter(hex);
    case "table":
      return (await import("./printer/table.ts")).tablePrinter();
    case "protobuf":
      return (await import("./printer/protobuf.ts")).protobufPrinter();
    case undefined:
      throw new ExitError(Exit.BAD_FEATURE, "unsupported output format");
  }
}

/** What stands behind `--` of a watch is a command to run, not arguments. */
function splitExec(argv: readonly string[]): { args: readonly string[]; exec: readonly string[] } {
  const cut = argv.indexOf("--");
  const isWatch = argv.slice(0, cut < 0 ? argv.length : cut).includes("watch");
  return cut < 0 || !isWatch ? { args: argv, exec: [] } : { args: argv.slice(0, cut), exec: argv.slice(cut + 1) };
}

/** Go's flags take `--flag=true`; commander's booleans take no value. */
function plainBooleans(program: Command, argv: readonly string[]): string[] {
  const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];
  const booleans = new Set(all(program).flatMap((c) => c.options.filter((o) => o.isBoolean()).map((o) => o.long)));
  const end = argv.indexOf("--");
  return argv.flatMap((arg, i) => {
    const match = end >= 0 && i > end ? null : /^(--[a-z-]+)=(true|false|t|f|1|0)$/i.exec(arg);
    if (match === null || !booleans.has(match[1] ?? "")) return [arg];
    return /^(true|t|1)$/i.test(match[2] ?? "") ? [match[1] ?? ""] : [];
  });
}

function report(error: unknown, io: Io): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    io.err(`Error: ${goFlagError(error)}\n`);
    return Exit.ERROR;
  }
  const message = error instanceof Error ? error.message : String(error);
  if (message !== "") io.err(`Error: ${message}\n`);
  return error instanceof ExitError ? error.exitCode : Exit.ERROR;
}

/** Says it as Go's flag library does, and what to do about it. */
function goFlagError(error: CommanderError): string {
  const name = /'([^' ]+)/.exec(error.message)?.[1] ?? "";
  if (error.code === "commander.unknownOption") {
    const what = name.startsWith("--")
      ? `unknown flag: ${name.replace(/=.*/, "")}`
      : `unknown shorthand flag: '${name.slice(1, 2)}' in ${name}`;
    return `${what}\nRun 'etcdctl --help' for usage.`;
  }
  if (error.code === "commander.optionMissingArgument") {
    return `flag needs an argument: ${/--[a-z-]+/.exec(error.message)?.[0] ?? name}`;
  }
  return error.message.replace(/^error: /, "");
}
