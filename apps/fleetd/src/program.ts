import { VERSION } from "@keelson/fleet";
import { Command, CommanderError } from "commander";
import { loadConfig } from "./config.ts";
import { flagOf, type RawSettings, SETTINGS, type SettingName } from "./settings.ts";

/** Exit codes, beside 0: something failed; the program was called wrongly. */
export const EXIT = { failed: 1, usage: 2 } as const;

const EXAMPLES = `
Settings come from flags, then FLEET_* variables (FLEET_AGENT_TTL), then fleet.conf (agent_ttl = 4s), then the defaults.

Examples:
  fleetd --etcd-servers http://127.0.0.1:2379 --metadata disk=ssd
  fleetd unit-manager --directory /run/fleet/units --socket /run/fleet/unit-manager.sock &
  fleetd --unit-manager embedded --unit-manager-socket /run/fleet/unit-manager.sock

Signals: SIGTERM ends fleetd and leaves its units running (--drain-on-stop stops them); SIGUSR1 prints its state.
Exit codes: 0 after SIGTERM or SIGINT, 1 when it cannot go on, 2 when it was called wrongly.`;

/** The command line. Resolves with the exit code. */
export async function runProgram(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  let exitCode = 0;
  const program = new Command("fleetd")
    .description(
      "Runs a machine's part of the cluster: schedules units, runs those that are this machine's, serves the API.",
    )
    .version(`fleetd version ${VERSION}`, "--version", "print the version")
    .option("--config <file>", "settings; default /etc/fleet/fleet.conf if it is there")
    .addHelpText("after", EXAMPLES)
    .exitOverride()
    .allowExcessArguments(false)
    .action(async (flags: Record<string, string | boolean>) => {
      const load = () => loadConfig(rawFlags(flags), env);
      const config = load();
      const { runFleetd } = await import("./commands/run.ts");
      exitCode = await runFleetd(config, env, load);
    });
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const setting = SETTINGS[name];
    const isBool = setting.type === "bool";
    const fallback = "fallback" in setting && setting.fallback !== "" ? ` (default ${setting.fallback})` : "";
    const option = program.createOption(`--${flagOf(name)} ${isBool ? "[bool]" : "<value>"}`, setting.help + fallback);
    program.addOption("ignored" in setting ? option.hideHelp() : option);
  }
  program
    .command("unit-manager")
    .description("run the embedded unit manager; its units end with it, and outlive any restart of fleetd")
    .requiredOption("--directory <dir>", "unit files, journals and state; one manager at a time")
    .requiredOption("--socket <path>", "where it listens for fleetd")
    .option("--machine-id <id>", "for the specifier %m")
    .option("--hostname <name>", "for the specifier %H")
    .allowExcessArguments(false)
    .action(async (flags) => {
      const { runUnitManagerCommand } = await import("./commands/unit-manager.ts");
      exitCode = await runUnitManagerCommand(flags);
    });
  program
    .command("version")
    .description("print the version")
    .action(() => void process.stdout.write(`fleetd version ${VERSION}\n`));
  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
    throw error;
  }
  return exitCode;
}

/** `--agent-ttl 5s` arrives as agentTtl; a flag without its optional value as true. */
function rawFlags(flags: Readonly<Record<string, string | boolean>>): RawSettings & { config?: string } {
  const raw: Record<string, string> = {};
  for (const [key, value] of Object.entries(flags)) {
    raw[key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)] = String(value);
  }
  return raw;
}
