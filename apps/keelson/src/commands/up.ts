import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import {
  ClusterError,
  type ClusterHost,
  ControlClient,
  clusterDirectory,
  MACHINES_MAX,
  waitFor,
} from "@keelson/cluster";
import { Command, InvalidArgumentError, Option } from "commander";
import { DEMO_UNIT } from "../demo.ts";
import type { Kind } from "../providers.ts";
import { nextCommands, openSession } from "../session.ts";
import { look, render } from "../view.ts";
import type { Io } from "./steer.ts";

interface UpOptions {
  readonly name: string;
  readonly machines: number;
  readonly container?: boolean;
  readonly vm?: boolean;
  readonly demo?: boolean;
  readonly foreground?: boolean;
  readonly once?: boolean;
}

const START_TIMEOUT_MS = 600_000;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** Exit code of a start that was interrupted, as shells have it for SIGINT. */
const INTERRUPTED = 130;

/** `cluster up`: in the background unless asked otherwise; `npm start` keeps it in the foreground with a live view. */
export function upCommand(defaultName: string, io: Io): Command {
  return new Command("up")
    .summary("start a cluster")
    .description("Start a cluster of machines and wait until etcd has a quorum and fleet sees every machine.")
    .option("--machines <n>", "how many", parseCount, 3)
    .option("--name <cluster>", "its name", defaultName)
    .addOption(new Option("--container", "machines with real systemd in namespaces (Linux, root)").conflicts("vm"))
    .addOption(new Option("--vm", "virtual machines booted from the image (QEMU)"))
    .option("--demo", "place hello.service")
    .option("--foreground", "stay, show the live status, and end the cluster on Ctrl-C")
    .option("--once", "with --foreground: end as soon as everything runs (to measure or test)")
    .addHelpText(
      "after",
      "\nExamples:\n  keelson cluster up --machines 5\n  keelson cluster up --vm --demo --foreground",
    )
    .action(async (opts: UpOptions) =>
      opts.foreground === true || opts.once === true ? inForeground(opts, io) : inBackground(opts, io),
    );
}

function parseCount(value: string): number {
  const count = Number(value);
  if (!Number.isInteger(count) || count < 1 || count > MACHINES_MAX)
    throw new InvalidArgumentError(`give a whole number from 1 to ${MACHINES_MAX}`);
  return count;
}

function kindOf(opts: UpOptions): Kind {
  if (opts.vm === true) return "vm";
  return opts.container === true ? "container" : "process";
}

async function inForeground(opts: UpOptions, io: Io): Promise<void> {
  const end = new AbortController();
  // Every time: a second Ctrl-C must not end us before our machines.
  for (const signal of SIGNALS) process.on(signal, () => end.abort(new Error(`interrupted by ${signal}`)));
  const say = (text: string) => void process.stderr.write(`keelson: ${text}\n`);
  let host: ClusterHost | undefined;
  try {
    host = await openSession({
      name: opts.name,
      kind: kindOf(opts),
      machines: opts.machines,
      demo: opts.demo === true,
      signal: end.signal,
      say,
      onDown: () => end.abort(new Error("ended by keelson cluster down")),
    });
    io.out(`\n${render(await look(host.info()))}\n${nextCommands(host.info())}`);
    if (opts.once !== true) await liveView(host, end.signal, io);
  } catch (error) {
    if (!end.signal.aborted) throw error;
    if (end.signal.reason instanceof Error) say(end.signal.reason.message);
    process.exitCode = INTERRUPTED;
  } finally {
    if (host !== undefined) {
      say("ending the cluster");
      await host[Symbol.asyncDispose]();
    }
  }
}

/** Redraws on a terminal; elsewhere prints only what has changed. */
async function liveView(host: ClusterHost, signal: AbortSignal, io: Io): Promise<void> {
  const isTerminal = process.stdout.isTTY === true;
  let shown = "";
  io.out(`\nCtrl-C ends the cluster.${isTerminal ? "" : " Changes are printed as they come."}\n`);
  while (!signal.aborted) {
    const view = await look(host.info());
    const text = isTerminal
      ? render(view)
      : render({ ...view, machines: view.machines.map((m) => ({ ...m, raftIndex: 0 })) });
    if (isTerminal) io.out(`\x1b[H\x1b[J${text}\n${nextCommands(host.info())}\nCtrl-C ends the cluster.\n`);
    else if (text !== shown && shown !== "") io.out(`\n${render(view)}`);
    shown = text;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 1_000);
      signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }
}

async function inBackground(opts: UpOptions, io: Io): Promise<void> {
  const client = new ControlClient(opts.name);
  if (await client.isUp()) {
    const hint = `end it with "keelson cluster down --name ${opts.name}", or give another --name`;
    throw new ClusterError(`cluster ${opts.name} is running already: ${hint}`);
  }
  const logFile = `${clusterDirectory(opts.name)}.log`;
  const child = spawnHost(opts, logFile);
  const ended = new AbortController();
  child.once("exit", () => ended.abort(new ClusterError(`cluster ${opts.name} did not start: ${lastLine(logFile)}`)));
  const interrupt = () => void child.kill("SIGTERM");
  for (const signal of SIGNALS) process.on(signal, interrupt);
  const isReady = async () => {
    const view = await look(await client.info());
    const hasDemo = opts.demo !== true || view.units.some((u) => u.unit === DEMO_UNIT && u.active === "active");
    return hasDemo && view.hasQuorum && view.machines.every((m) => m.inFleet === true) ? view : undefined;
  };
  try {
    const wait = { timeoutMs: START_TIMEOUT_MS, signal: ended.signal, everyMs: 200 };
    const view = await waitFor("a whole cluster", isReady, wait);
    io.out(`${render(view)}\n${nextCommands(await client.info())}`);
  } catch (error) {
    child.kill("SIGTERM");
    throw error;
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupt);
    child.removeAllListeners("exit");
    child.unref();
  }
}

/** Starts `cluster up --foreground` as a process that outlives this one. */
function spawnHost(opts: UpOptions, logFile: string): ChildProcess {
  mkdirSync(dirname(logFile), { recursive: true, mode: 0o700 });
  const log = openSync(logFile, "w", 0o600);
  const flags = ["--machines", String(opts.machines), "--name", opts.name];
  if (opts.vm === true) flags.push("--vm");
  if (opts.container === true) flags.push("--container");
  if (opts.demo === true) flags.push("--demo");
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const child = spawn(process.execPath, [main, "cluster", "up", "--foreground", ...flags], {
    detached: true,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  return child;
}

/** What the host said last, which is why it ended. */
function lastLine(logFile: string): string {
  const lines = readFileSync(logFile, "utf8").trim().split("\n");
  return lines.at(-1)?.replace(/^keelson: /, "") || `see ${logFile}`;
}
