#!/usr/bin/env node
import { stat } from "node:fs/promises";
import { parseArgs } from "node:util";
import { createLogger, SystemClock } from "@keelson/log";
import { CoreError, formatErrorChain } from "@keelson/types";
import { UpdateServer } from "@keelson/update/server";

const VERSION = "0.1.0";
const HELP = `Usage: update-server --root DIR [--listen HOST:PORT] [--verbose]

Serves what osctl publish writes: DIR/releases/<stream>.json as update graphs, DIR/repo as an OSTree repository.

  --root DIR          with releases/ and repo/ in it
  --listen HOST:PORT  default 127.0.0.1:8080; port 0 takes any free one
  --verbose           log details
  --version, --help

  GET /v1/graph?stream=stable&basearch=x86_64[&node_uuid=…&rollout_wariness=0.5&group=…&os_version=…&os_checksum=…]
  GET /repo/…  /releases/…  /health  /metrics

Example:
  update-server --root /srv/updates --listen 127.0.0.1:8080

Exit codes: 0 after SIGTERM or SIGINT, 1 when it cannot serve, 2 when it was called wrongly.
`;

class UsageError extends CoreError<"ERR_USAGE"> {
  readonly code = "ERR_USAGE";
}

process.stdout.on("error", () => process.exit());
try {
  await main();
} catch (error) {
  process.stderr.write(`update-server: ${formatErrorChain(error)}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}

async function main(): Promise<void> {
  const flags = parse();
  if (flags.help === true || flags.version === true) {
    process.stdout.write(flags.help === true ? HELP : `update-server version ${VERSION}\n`);
    return;
  }
  const { root } = flags;
  if (root === undefined) throw new UsageError("--root is needed; see update-server --help");
  if ((await stat(root).catch(() => undefined))?.isDirectory() !== true)
    throw new UsageError(`${root} is no directory`);
  const { host, port } = parseListen(flags.listen ?? "127.0.0.1:8080");
  const logger = createLogger({ component: "update-server", level: flags.verbose === true ? "debug" : "info" });
  const ended = new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
  await using server = await UpdateServer.start({ root, host, port, clock: new SystemClock(), logger });
  logger.info("update-server ready", { url: server.url, root });
  // For whoever started it with port 0.
  process.stdout.write(`${server.url}\n`);
  await ended;
}

function parse() {
  try {
    return parseArgs({
      options: {
        root: { type: "string" },
        listen: { type: "string" },
        verbose: { type: "boolean" },
        version: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}; see update-server --help`);
  }
}

function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new UsageError(`--listen is not HOST:PORT: ${JSON.stringify(text)}`);
  return { host: match[1] ?? match[2] ?? "", port };
}
