import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { killLeftovers } from "@keelson/linux";
import { ClusterError, MachineStateError } from "../errors.ts";
import { readTail } from "../files.ts";
import type { ExecResult, Machine, MachineService, MachineSpec, MachineState, PowerCutReport } from "../port.ts";
import { NOTHING_LOST } from "../power.ts";
import { clientUrl, etcdArgv, fleetdArgv, type MachineLayout, unitManagerArgv } from "./layout.ts";
import { killTree, processesAtHome, signalTree } from "./process-tree.ts";
import type { Programs } from "./programs.ts";
import { ServiceProcess } from "./service-process.ts";
import { runShell } from "./shell.ts";

const LOG_BYTES_MAX = 1 << 20;
const STOP_GRACE_MS = 10_000;
const EXEC_TIMEOUT_MS = 30_000;

export interface ProcessMachineOptions {
  readonly programs: Programs;
  readonly layout: MachineLayout;
  readonly all: readonly MachineLayout[];
  readonly etcdUrls: readonly string[];
}

/** A machine that is a set of processes: an embedded unit manager, etcd and fleetd. */
export class ProcessMachine implements Machine {
  readonly spec: MachineSpec;
  readonly etcdUrl: string;
  readonly fleetUrl: string;
  readonly #layout: MachineLayout;
  readonly #services: Record<MachineService | "units", ServiceProcess>;
  readonly #env: Readonly<Record<string, string>>;
  /** Process ids of commands that run on the machine now; they end with it. */
  readonly #commands = new Set<number>();
  #state: MachineState = "stopped";
  #bootId = "";

  constructor({ programs, layout, all, etcdUrls }: ProcessMachineOptions) {
    this.spec = layout.spec;
    this.etcdUrl = clientUrl(layout);
    this.fleetUrl = `unix://${layout.fleetSocket}`;
    this.#layout = layout;
    this.#env = {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: layout.directory,
      KEELSON_MACHINE: layout.spec.name,
      ...(programs.compileCache === undefined ? {} : { NODE_COMPILE_CACHE: programs.compileCache }),
    };
    const service = (name: string, argv: readonly string[]) =>
      new ServiceProcess({
        name,
        argv,
        env: this.#env,
        cwd: layout.directory,
        logFile: join(layout.directory, `${name}.log`),
      });
    this.#services = {
      units: service("units", unitManagerArgv(programs, layout)),
      etcd: service("etcd", etcdArgv(programs, layout, all)),
      fleetd: service("fleetd", fleetdArgv(programs, layout, etcdUrls)),
    };
  }

  get state(): MachineState {
    return this.#state;
  }

  /** The processes that are the machine's roots; units are below them. */
  get pids(): number[] {
    return [...Object.values(this.#services).flatMap((service) => service.pid ?? []), ...this.#commands];
  }

  async kill(): Promise<void> {
    for (const service of Object.values(this.#services)) service.giveUp();
    await killTree(this.pids);
    await Promise.all(Object.values(this.#services).map((service) => service.ended()));
    // What had left the tree before: of units the manager keeps a record, of commands the home tells.
    await killTree(processesAtHome(this.#layout.directory));
    await killLeftovers(this.#layout.unitsDirectory);
    this.#state = "stopped";
  }

  async powerCut(): Promise<PowerCutReport> {
    await this.kill();
    return NOTHING_LOST;
  }

  async restart(): Promise<void> {
    this.#need("stopped", "restart");
    this.#bootId = randomUUID();
    // What lives in /run on a real machine does not survive its power.
    await Promise.all(
      [this.#layout.unitManagerSocket, this.#layout.fleetSocket, this.#layout.unitsDirectory].map((path) =>
        rm(path, { recursive: true, force: true }),
      ),
    );
    for (const service of Object.values(this.#services)) service.start();
    this.#state = "running";
  }

  async pause(): Promise<void> {
    this.#need("running", "pause");
    await signalTree(this.pids, "SIGSTOP");
    this.#state = "paused";
  }

  async resume(): Promise<void> {
    this.#need("paused", "resume");
    await signalTree(this.pids, "SIGCONT");
    this.#state = "running";
  }

  async killService(service: MachineService): Promise<void> {
    this.#need("running", `kill ${service} on`);
    await this.#services[service].kill({ keepWanted: true });
  }

  async stopService(service: MachineService): Promise<void> {
    this.#need("running", `stop ${service} on`);
    await this.#services[service].stop(STOP_GRACE_MS);
  }

  async startService(service: MachineService): Promise<void> {
    this.#need("running", `start ${service} on`);
    this.#services[service].start();
  }

  async exec(command: string, options: { timeoutMs?: number } = {}): Promise<ExecResult> {
    this.#need("running", "run a command on");
    return await runShell(command, {
      cwd: this.#layout.directory,
      env: this.#env,
      timeoutMs: options.timeoutMs ?? EXEC_TIMEOUT_MS,
      outputBytesMax: LOG_BYTES_MAX,
      track: (pid) => {
        this.#commands.add(pid);
        return { [Symbol.dispose]: () => void this.#commands.delete(pid) };
      },
    });
  }

  urlOf(port: number): string {
    return `http://127.0.0.1:${port}`;
  }

  async bootId(): Promise<string> {
    this.#need("running", "tell the boot of");
    return this.#bootId;
  }

  reboot(): Promise<string> {
    return this.waitReboot();
  }

  async waitReboot(): Promise<string> {
    throw new ClusterError(`machine ${this.spec.name} is made of processes, which do not reboot themselves`);
  }

  serial(): Promise<string> {
    return this.logs("system");
  }

  async logs(service: MachineService | "system"): Promise<string> {
    const names = service === "system" ? ["units", "etcd", "fleetd"] : [service];
    const texts = await Promise.all(
      names.map((name) => readTail(join(this.#layout.directory, `${name}.log`), LOG_BYTES_MAX / names.length)),
    );
    return texts.join("");
  }

  #need(state: MachineState, verb: string): void {
    if (this.#state === state) return;
    throw new MachineStateError(`cannot ${verb} machine ${this.spec.name}: it is ${this.#state}, not ${state}`);
  }
}
