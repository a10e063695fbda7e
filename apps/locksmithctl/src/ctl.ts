import { formatErrorChain } from "@keelson/types";
import { COMMANDS, findCommand } from "./commands.ts";
import { FlagError, type FlagValues, type ParsedFlags, parseFlags, printDefaults } from "./go-flags.ts";
import { CommandError, type Io } from "./io.ts";
import { GLOBAL_FLAGS, readSettings, type Settings } from "./settings.ts";
import { VERSION } from "./version.ts";

/** What every command gets. */
export interface Context {
  readonly io: Io;
  readonly settings: Settings;
  readonly flags: FlagValues;
  readonly args: readonly string[];
}

/** Runs a command line (without the program's name) and resolves with its exit code. */
export async function runLocksmithctl(argv: readonly string[], io: Io): Promise<number> {
  try {
    return await dispatch(argv, io);
  } catch (error) {
    if (error instanceof CommandError) {
      io.err(`${error.message}\n`);
      return error.exitCode;
    }
    if (io.signal.aborted) return 130;
    if ((error as { code?: unknown }).code === undefined) throw error; // a defect of ours
    io.err(`Error: ${formatErrorChain(error)}\n`);
    return 1;
  }
}

async function dispatch(argv: readonly string[], io: Io): Promise<number> {
  const global = parseGlobals(argv, io);
  if (typeof global === "number") return global;
  if (global.values.get("version")?.[0] === "true") {
    io.out(`locksmithctl version ${VERSION}\n`);
    return 0;
  }
  const [name = "help", ...rest] = global.args;
  const command = findCommand(name);
  if (command === undefined) {
    io.out(`locksmithctl: unknown subcommand: ${JSON.stringify(name)}\nRun 'locksmithctl help' for usage.\n`);
    return 2;
  }
  let own: ParsedFlags;
  try {
    // Global flags are taken behind the command too.
    own = parseFlags(rest, [...command.flags, ...GLOBAL_FLAGS], true);
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    if (error.isHelp) return await help([name], io);
    io.err(`${error.message}\nUsage:\n${printDefaults(command.flags)}`);
    io.out(`${error.message}\n`);
    return 2;
  }
  const flags = new Map([...global.values, ...own.values]);
  const settings = settingsOf(flags, io);
  return await run(name, { io, settings, flags, args: own.args });
}

function parseGlobals(argv: readonly string[], io: Io): ParsedFlags | number {
  try {
    return parseFlags(argv, GLOBAL_FLAGS, false);
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    const usage = `Usage of locksmithctl:\n${printDefaults(GLOBAL_FLAGS)}`;
    if (error.isHelp) io.out(usage);
    else io.err(`${error.message}\n${usage}`);
    return error.isHelp ? 0 : 2;
  }
}

function settingsOf(flags: FlagValues, io: Io): Settings {
  try {
    return readSettings(flags, io.env, "LOCKSMITHCTL");
  } catch (error) {
    if (error instanceof FlagError) throw new CommandError(error.message, 2);
    throw error;
  }
}

/** Each command loads what it needs when it runs. */
async function run(name: string, context: Context): Promise<number> {
  switch (name) {
    case "help":
      return await help(context.args, context.io);
    case "completion": {
      const { completionScript } = await import("./completion.ts");
      const commands = COMMANDS.map((command) => command.name);
      context.io.out(completionScript(context.args[0] ?? "", commands));
      return 0;
    }
    case "send-need-reboot":
      return await (await import("./commands/send-need-reboot.ts")).sendNeedReboot(context);
    case "reboot":
      return await (await import("./commands/reboot.ts")).reboot(context);
    case "status":
      return await (await import("./commands/status.ts")).status(context);
    case "lock":
      return await (await import("./commands/lock.ts")).lock(context);
    case "unlock":
      return await (await import("./commands/lock.ts")).unlock(context);
    default:
      return await (await import("./commands/set-max.ts")).setMax(context);
  }
}

async function help([name]: readonly string[], io: Io): Promise<number> {
  const { commandHelp, globalHelp } = await import("./help.ts");
  if (name === undefined) {
    io.out(globalHelp());
    return 0;
  }
  const text = commandHelp(name);
  io.out(text ?? `Unrecognized command: ${name}\n`);
  return text === undefined ? 1 : 0;
}
