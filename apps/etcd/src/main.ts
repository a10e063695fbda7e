#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { SERVER_VERSION } from "@keelson/etcd/version";
import { CoreError, formatErrorChain, type Logger } from "@keelson/types";
import { type ProgramConfig, toConfig } from "./config.ts";
import { parseConfigFile } from "./config-file.ts";
import { notifyReady } from "./notify.ts";
import { addEnvironment, type FlagValues, helpText, parseFlags, UsageError } from "./parse-flags.ts";

const VERSION_TEXT = `etcd Version: ${SERVER_VERSION}\nGit SHA: keelson\nGo Version: none (Node ${process.version})\nGo OS/Arch: ${process.platform}/${process.arch}\n`;

/** Ends the program with a line on standard error. */
function die(message: string, exitCode: number): never {
  process.stderr.write(`${message}\n`);
  process.exit(exitCode);
}

function readValues(args: readonly string[]): { values: FlagValues; unknown: string[] } | "help" | "version" {
  const { values, help } = parseFlags(args);
  if (help) return "help";
  if (values.get("version") === "true") return "version";
  const file = values.get("config-file") ?? process.env["ETCD_CONFIG_FILE"];
  if (file === undefined || file === "") return addEnvironment(values, process.env);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read --config-file: ${formatErrorChain(error)}`, 1);
  }
  return { values: parseConfigFile(text, file), unknown: [] };
}

async function main(): Promise<void> {
  const read = readValues(process.argv.slice(2));
  if (read === "help") return void process.stdout.write(helpText());
  if (read === "version") return void process.stdout.write(VERSION_TEXT);
  const config = toConfig(read.values);
  // Only now: asking for the version or making a mistake should cost nothing.
  const { createLogger } = await import("@keelson/log");
  const logger = createLogger({
    component: "etcd",
    level: config.logLevel,
    ...(config.logToStdout ? { destination: process.stdout } : {}),
  });
  for (const variable of read.unknown)
    logger.warn("unrecognized environment variable", { "environment-variable": variable });
  if (config.ignored.length > 0) logger.info("flags without effect", { flags: config.ignored });
  await run(config, logger);
}

async function run(config: ProgramConfig, logger: Logger): Promise<void> {
  logger.info("starting an etcd server", {
    "etcd-version": SERVER_VERSION,
    name: config.options.name,
    "data-dir": config.dataDir,
  });
  const { Etcd } = await import("@keelson/etcd");
  const etcd = await Etcd.start({ ...config.options, logger });
  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) return;
    stopping = true;
    logger.info("received signal; shutting down", { signal });
    void etcd.close().then(() => process.exit(0));
  };
  process.on("SIGTERM", () => stop("terminated"));
  process.on("SIGINT", () => stop("interrupt"));
  void etcd.failed.then((error) => {
    if (!stopping) die(formatErrorChain(error), 1);
  });
  try {
    await etcd.ready;
  } catch {
    return; // stopped before it was ready, and said why
  }
  for (const url of etcd.clientUrls) logger.info("ready to serve client requests", { address: url });
  const problem = await notifyReady(process.env);
  if (problem !== undefined) logger.warn("failed to notify systemd for readiness", { error: problem });
}

try {
  await main();
} catch (error) {
  if (error instanceof UsageError)
    die(error.exitCode === 2 ? `${error.message}\nUsage: etcd --help` : error.message, error.exitCode);
  if (error instanceof CoreError && error.code === "ERR_ETCD_CONFIG")
    die(`error verifying flags, ${error.message}. See 'etcd --help'.`, 1);
  die(`failed to start etcd: ${formatErrorChain(error)}`, 1);
}
