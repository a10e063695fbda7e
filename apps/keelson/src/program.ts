import { CoreError, formatErrorChain } from "@keelson/types";
import { Command } from "commander";
import { passThrough } from "./commands/pass-through.ts";
import { downCommand, type Io, steerCommands } from "./commands/steer.ts";
import { upCommand } from "./commands/up.ts";
import { readConfig } from "./config.ts";
import { closeProbes } from "./etcd-probe.ts";

const io: Io = { out: (text) => void process.stdout.write(text) };

function program(): Command {
  const { clusterName } = readConfig();
  const cluster = new Command("cluster")
    .enablePositionalOptions()
    .summary("start, steer and end clusters")
    .description("Start, steer and end clusters of machines.");
  for (const command of [upCommand(clusterName, io), ...steerCommands(clusterName, io), downCommand(clusterName, io)])
    cluster.addCommand(command);
  const root = new Command("keelson")
    .enablePositionalOptions()
    .description(
      "Clusters of machines on this host: as processes, as containers with real systemd, as virtual machines.",
    )
    .version("0.1.0")
    .addCommand(cluster)
    .addHelpText(
      "after",
      `
The steering commands work without the word "cluster" too. Exit codes: 0 done, 1 failed, 2 wrong usage.
Environment: KEELSON_CLUSTER is the default of --name.

Examples:
  keelson cluster up --demo
  keelson status --watch
  keelson kill m1 && keelson restart m1
  keelson cluster down`,
    );
  for (const command of [...steerCommands(clusterName, io), downCommand(clusterName, io), ...passThrough()])
    root.addCommand(command);
  for (const command of [root, cluster, ...root.commands, ...cluster.commands]) command.exitOverride();
  return root;
}

/** Runs the command line; sets the exit code. */
export async function runKeelson(): Promise<void> {
  try {
    await program().parseAsync();
  } catch (error) {
    const code = (error as { code?: string }).code ?? "";
    if (code.startsWith("commander.")) process.exitCode = (error as { exitCode: number }).exitCode === 0 ? 0 : 2;
    else {
      process.stderr.write(`keelson: ${formatErrorChain(error)}\n`);
      process.exitCode = 1;
      if (!(error instanceof CoreError) && process.env["KEELSON_DEBUG"] !== undefined)
        process.stderr.write(`${(error as Error).stack}\n`);
    }
  } finally {
    closeProbes();
  }
}
