#!/usr/bin/env node
import { parseArgs } from "node:util";
import { formatErrorChain } from "@keelson/types";
import { UpdateConfigError, VERSION } from "@keelson/update";
import { CONFIG_DIRECTORIES, loadConfig, machineFacts } from "./config.ts";
import { SETTINGS, type SettingName, variableOf } from "./settings.ts";

const HELP = `Usage: updated [--config-dir DIR]...

Keeps this machine up to date: looks for updates, pulls and verifies them, takes the reboot lock, reboots, checks that the
machine is well, and goes back by itself when it is not. Talk to it with osctl update.

  --config-dir DIR  drop-ins *.toml are read from here instead of ${CONFIG_DIRECTORIES.join(", ")}
  --check-config    read the settings, say whether they are right, and end
  --version         print the version
  --help            print this

Settings (environment before drop-ins before defaults):
`;

process.stdout.on("error", () => process.exit());
try {
  process.exitCode = await main();
} catch (error) {
  const isUsage = error instanceof UpdateConfigError;
  const text =
    isUsage || !(error instanceof Error) ? formatErrorChain(error) : `${formatErrorChain(error)}\n${error.stack ?? ""}`;
  process.stderr.write(`updated: ${text}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
// Connections that others hold open must not keep a program alive that has done its work.
setTimeout(() => process.exit(), 1_000).unref();

async function main(): Promise<number> {
  const flags = parse();
  if (flags.help === true) {
    process.stdout.write(HELP + settingsHelp());
    return 0;
  }
  if (flags.version === true) {
    process.stdout.write(`updated version ${VERSION}\n`);
    return 0;
  }
  const config = loadConfig(process.env, machineFacts(), flags["config-dir"] ?? CONFIG_DIRECTORIES);
  if (flags["check-config"] === true) {
    for (const warning of config.warnings) process.stdout.write(`warning: ${warning}\n`);
    process.stdout.write("the settings are right\n");
    return 0;
  }
  const { runUpdated } = await import("./run.ts");
  return await runUpdated(config, process.env);
}

function parse() {
  try {
    return parseArgs({
      options: {
        "config-dir": { type: "string", multiple: true },
        "check-config": { type: "boolean" },
        version: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    throw new UpdateConfigError(`${error instanceof Error ? error.message : String(error)}; see updated --help`);
  }
}

function settingsHelp(): string {
  return (Object.keys(SETTINGS) as SettingName[])
    .map((name) => {
      const setting = SETTINGS[name];
      const fallback =
        "fallback" in setting && setting.fallback !== "" ? ` (default ${JSON.stringify(setting.fallback)})` : "";
      return `  ${name}, ${variableOf(name)}\n      ${setting.help}${fallback}\n`;
    })
    .join("");
}
