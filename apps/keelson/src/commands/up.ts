import { spawn } from "node:child_process";
import { mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ClusterHost, ControlClient, clusterDirectory, waitFor } from "@keelson/cluster";
import { Command, InvalidArgumentError, Option } from "commander";
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
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError("give a whole number of at least 1");
  return count;
}

function kindOf(opts: UpOptions): Kind {
  if (opts.vm === true) return "vm";
  return opts.container === true ? "container" : "process";
}

async function inForeground(opts: UpOptions, io: Io): Promise<void> {
  const end = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => end.abort(new Error(`interrupted by ${signal}`)));
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
      onDown: () => end.abort(),
    });
    io.out(`\n${render(await look(host.info()))}\n${nextCommands(host.info())}`);
    if (opts.once !== true) await liveView(host, end.signal, io);
  } catch (error) {
    if (!end.signal.aborted) throw error;
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
  const directory = clusterDirectory(opts.name);
  const logFile = `${directory}.log`;
  mkdirSync(join(directory, ".."), { recursive: true, mode: 0o700 });
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
  const failed = new AbortController();
  child.once("exit", (code) => failed.abort(new Error(`the cluster's host ended with code ${code}: see ${logFile}`)));
  const info = await waitFor("the cluster", async () => client.info(), {
    timeoutMs: START_TIMEOUT_MS,
    signal: failed.signal,
    everyMs: 100,
  });
  await waitFor(
    "every machine in fleet",
    async () => (await look(await client.info())).machines.every((m) => m.inFleet === true),
    { timeoutMs: START_TIMEOUT_MS, signal: failed.signal, everyMs: 200 },
  );
  child.removeAllListeners("exit");
  child.unref();
  io.out(`${render(await look(info))}\n${nextCommands(info)}`);
}
