import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { signalPid } from "./process-tree.ts";

/** A program that ends by itself is started again after this long, as systemd's `RestartSec=` would. */
const RESTART_DELAY_MS = 500;

export interface ServiceProcessOptions {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Both standard output and error are appended here. */
  readonly logFile: string;
}

/** One program of a machine, kept running as `Restart=always` does until it is stopped on purpose. */
export class ServiceProcess {
  readonly #options: ServiceProcessOptions;
  #child: ChildProcess | undefined;
  #wanted = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: ServiceProcessOptions) {
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.exitCode === null && this.#child.signalCode === null ? this.#child.pid : undefined;
  }

  start(): void {
    this.#wanted = true;
    if (this.pid === undefined) this.#spawn();
  }

  /** Asks it to end, and kills it when it has not ended within `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#giveUp();
    const child = this.#child;
    if (child?.pid === undefined || this.pid === undefined) return;
    const ended = endOf(child);
    signalPid(child.pid, "SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
    await ended;
    clearTimeout(timer);
  }

  /** SIGKILLs it. With `keepWanted` it comes back by itself. */
  async kill(options: { keepWanted: boolean }): Promise<void> {
    if (!options.keepWanted) this.#giveUp();
    const child = this.#child;
    if (child === undefined || this.pid === undefined) return;
    const ended = endOf(child);
    child.kill("SIGKILL");
    await ended;
  }

  /** Forgets that it should run, so that its end is final. Sends nothing. */
  giveUp(): void {
    this.#giveUp();
  }

  /** Resolves when the process there is has ended. */
  async ended(): Promise<void> {
    if (this.#child !== undefined) await endOf(this.#child);
  }

  #giveUp(): void {
    this.#wanted = false;
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }

  #spawn(): void {
    const { argv, cwd, env, logFile } = this.#options;
    const log = openSync(logFile, "a", 0o600);
    const child = spawn(argv[0] ?? "", argv.slice(1), {
      cwd,
      env: { ...env },
      stdio: ["ignore", log, log],
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    child.once("error", () => this.#ended(child));
    child.once("exit", () => this.#ended(child));
  }

  #ended(child: ChildProcess): void {
    if (!this.#wanted || this.#child !== child) return;
    this.#retry = setTimeout(() => {
      if (this.#wanted && this.pid === undefined) this.#spawn();
    }, RESTART_DELAY_MS);
  }
}

function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return Promise.resolve();
  return new Promise((resolve) => child.once("exit", () => resolve()));
}
