import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { ClusterError, MachineStateError } from "../errors.ts";
import { readTail } from "../files.ts";
import { linesOf } from "../journal.ts";
import type { ExecResult, Machine, MachineService, MachineSpec, MachineState } from "../port.ts";
import { waitFor } from "../wait.ts";
import { bootTimes } from "./console.ts";
import { DebugChannel } from "./debug-channel.ts";
import { Qmp } from "./qmp.ts";

const LOG_BYTES_MAX = 1 << 20;
const EXEC_TIMEOUT_MS = 60_000;

export interface QemuMachineOptions {
  readonly spec: MachineSpec;
  readonly directory: string;
  readonly qemu: readonly string[];
  readonly etcdUrl: string;
  readonly fleetUrl: string;
  /** How long a boot may take. */
  readonly bootTimeoutMs: number;
}

/** The files of a machine that QEMU makes. */
export function machineFiles(directory: string) {
  return {
    console: join(directory, "console.log"),
    journal: join(directory, "journal.log"),
    qemuLog: join(directory, "qemu.log"),
    qmp: join(directory, "qmp.sock"),
    debug: join(directory, "debug.sock"),
    hub: join(directory, "hub.sock"),
    disk: join(directory, "disk.qcow2"),
  };
}

/** A machine that is a VM booted from our image. */
export class QemuMachine implements Machine {
  readonly spec: MachineSpec;
  readonly etcdUrl: string;
  readonly fleetUrl: string;
  readonly #options: QemuMachineOptions;
  readonly #files: ReturnType<typeof machineFiles>;
  #child: ChildProcess | undefined;
  #qmp: Qmp | undefined;
  #debug: DebugChannel | undefined;
  #paused = false;
  #bootSeconds: number | undefined;

  constructor(options: QemuMachineOptions) {
    this.#options = options;
    this.spec = options.spec;
    this.etcdUrl = options.etcdUrl;
    this.fleetUrl = options.fleetUrl;
    this.#files = machineFiles(options.directory);
  }

  get state(): MachineState {
    if (this.#child === undefined) return "stopped";
    return this.#paused ? "paused" : "running";
  }

  /** QEMU's process. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Seconds from the kernel's start to multi-user.target, of the last boot. */
  get bootSeconds(): number | undefined {
    return this.#bootSeconds;
  }

  /** Starts QEMU and waits until the machine takes commands, which is after multi-user.target. */
  async boot(signal?: AbortSignal): Promise<void> {
    this.#need("stopped", "start");
    await Promise.all([this.#files.qmp, this.#files.debug].map((path) => rm(path, { force: true })));
    const bootsBefore = bootTimes(await readTail(this.#files.console, LOG_BYTES_MAX)).length;
    const child = this.#spawn();
    this.#child = child;
    this.#paused = false;
    try {
      this.#qmp = await Qmp.connect(this.#files.qmp, this.#whileRuns(child, signal));
      this.#debug = await DebugChannel.connect(this.#files.debug, this.#whileRuns(child, signal));
      this.#bootSeconds = await waitFor(
        `boot of ${this.spec.name}`,
        async () => bootTimes(await readTail(this.#files.console, LOG_BYTES_MAX))[bootsBefore],
        { timeoutMs: this.#options.bootTimeoutMs, signal: this.#whileRuns(child, signal), everyMs: 250 },
      );
      await this.#debug.ready();
    } catch (error) {
      await this.kill();
      const console = (await readTail(this.#files.console, 2000)).trim();
      const qemu = (await readTail(this.#files.qemuLog, 2000)).trim();
      throw new ClusterError(
        `machine ${this.spec.name} did not boot; QEMU says: ${qemu || "nothing"}; its console ends: ${console || "empty"}`,
        {},
        { cause: error },
      );
    }
  }

  #spawn(): ChildProcess {
    const [program, ...args] = this.#options.qemu;
    if (program === undefined) throw new ClusterError("no command line for QEMU");
    const log = openSync(this.#files.qemuLog, "a");
    try {
      const child = spawn(program, args, { stdio: ["ignore", log, log], cwd: this.#options.directory });
      const over = () => {
        if (this.#child !== child) return;
        this.#child = undefined;
        this.#qmp?.[Symbol.dispose]();
        this.#debug?.[Symbol.dispose]();
      };
      child.once("exit", over);
      child.once("error", over);
      return child;
    } finally {
      closeSync(log);
    }
  }

  /** Aborts when the caller does or when QEMU ends. */
  #whileRuns(child: ChildProcess, signal?: AbortSignal): AbortSignal {
    const ended = new AbortController();
    const abort = () => ended.abort(new ClusterError("QEMU has ended"));
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) abort();
    child.once("exit", abort);
    return signal === undefined ? ended.signal : AbortSignal.any([ended.signal, signal]);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  async restart(): Promise<void> {
    await this.boot();
  }

  async pause(): Promise<void> {
    this.#need("running", "pause");
    await this.#qmp?.execute("stop");
    this.#paused = true;
  }

  async resume(): Promise<void> {
    this.#need("paused", "resume");
    await this.#qmp?.execute("cont");
    this.#paused = false;
  }

  async killService(service: MachineService): Promise<void> {
    await this.#systemctl(`kill --kill-whom=main --signal=KILL ${service}.service`);
  }

  async stopService(service: MachineService): Promise<void> {
    await this.#systemctl(`stop ${service}.service`);
  }

  async startService(service: MachineService): Promise<void> {
    await this.#systemctl(`start ${service}.service`);
  }

  async #systemctl(words: string): Promise<void> {
    const { exitCode, stderr } = await this.exec(`systemctl ${words}`);
    if (exitCode !== 0) throw new ClusterError(`systemctl ${words} failed on ${this.spec.name}: ${stderr.trim()}`);
  }

  async exec(command: string, options: { timeoutMs?: number } = {}): Promise<ExecResult> {
    this.#need("running", "run a command on");
    if (this.#debug === undefined) throw new MachineStateError(`machine ${this.spec.name} is not up yet`);
    return await this.#debug.exec(command, options.timeoutMs ?? EXEC_TIMEOUT_MS);
  }

  async logs(service: MachineService | "system"): Promise<string> {
    const journal = await readTail(this.#files.journal, LOG_BYTES_MAX);
    if (service !== "system") return linesOf(journal, service);
    return `${await readTail(this.#files.console, LOG_BYTES_MAX / 4)}${journal.slice(-(LOG_BYTES_MAX * 3) / 4)}`;
  }

  #need(state: MachineState, verb: string): void {
    if (this.state === state) return;
    throw new MachineStateError(`cannot ${verb} machine ${this.spec.name}: it is ${this.state}, not ${state}`);
  }
}
