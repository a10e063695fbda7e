import { randomUUID } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { SystemdContainer } from "@keelson/linux";
import { rebootInOrder, waitOtherBoot } from "../boots.ts";
import { ClusterError, MachineStateError } from "../errors.ts";
import { readTail } from "../files.ts";
import { linesOf } from "../journal.ts";
import type { MachineNetwork } from "../network/network.ts";
import type { ExecResult, Machine, MachineService, MachineSpec, MachineState, PowerCutReport } from "../port.ts";
import { NOTHING_LOST } from "../power.ts";
import { waitFor } from "../wait.ts";

const LOG_BYTES_MAX = 1 << 20;
const EXEC_TIMEOUT_MS = 30_000;
const BOOT_TIMEOUT_MS = 60_000;
/** Where the machine sees `<directory>/host`. */
const HOST_DIRECTORY = "/run/keelson-host";

/** The unit of the image that copies the journal for VMs, made to write to a file of the host instead. */
const JOURNAL_DROPIN = [
  "[Unit]",
  "ConditionPathExists=",
  "[Service]",
  "StandardOutput=",
  `StandardOutput=append:${HOST_DIRECTORY}/journal.log`,
  "",
].join("\n");

export interface ContainerMachineOptions {
  readonly spec: MachineSpec;
  readonly directory: string;
  /** The image's root file system; not written to. */
  readonly rootfs: string;
  readonly network: MachineNetwork;
  readonly etcdUrl: string;
  readonly fleetUrl: string;
  readonly urlOf: (port: number) => string;
  /** Files of /etc by path below it, such as `keelson/etcd.env`. */
  readonly etc: Readonly<Record<string, string>>;
}

/** A machine that is systemd as PID 1 of the image's root file system. */
export class ContainerMachine implements Machine {
  readonly spec: MachineSpec;
  readonly etcdUrl: string;
  readonly fleetUrl: string;
  readonly #options: ContainerMachineOptions;
  #container: SystemdContainer | undefined;
  #paused = false;
  #isCut = false;
  /** From the first start to the last end; reboots are in between. */
  #isOn = false;
  /** Resolves when it is not. */
  #over: Promise<void> = Promise.resolve();
  #bootId: string | undefined;

  constructor(options: ContainerMachineOptions) {
    this.#options = options;
    this.spec = options.spec;
    this.etcdUrl = options.etcdUrl;
    this.fleetUrl = options.fleetUrl;
  }

  get state(): MachineState {
    if (!this.#isOn) return "stopped";
    return this.#paused ? "paused" : "running";
  }

  /** PID 1 of the machine, as the host sees it. */
  get pid(): number | undefined {
    return this.#container?.isRunning === true ? this.#container.pid : undefined;
  }

  /** Starts systemd on the disk there is and waits until it has started everything. */
  async boot(signal?: AbortSignal): Promise<void> {
    if (this.state !== "stopped") throw this.#wrongState("stopped", "start");
    await this.#over;
    signal?.throwIfAborted();
    this.#isCut = false;
    this.#bootId = undefined;
    const container = await this.#start();
    this.#isOn = true;
    this.#over = this.#untilOver(container);
    try {
      await this.#waitUp(container);
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  async #start(): Promise<SystemdContainer> {
    const { directory, rootfs, network, spec } = this.#options;
    const hostDirectory = join(directory, "host");
    await mkdir(hostDirectory, { recursive: true });
    await this.#writeEtc();
    this.#paused = false;
    const container = await SystemdContainer.start({
      lowerdirs: [rootfs],
      overlay: join(directory, "disk"),
      hostname: spec.name,
      machineId: spec.machineId,
      netns: network.netns,
      binds: [{ source: hostDirectory, target: HOST_DIRECTORY }],
      consoleLog: join(directory, "console.log"),
    });
    this.#container = container;
    return container;
  }

  async #waitUp(container: SystemdContainer): Promise<void> {
    await container.waitBoot(BOOT_TIMEOUT_MS);
    this.#bootId = randomUUID();
  }

  /** A machine that reboots itself starts again; any other end, or one of a boot that failed, is the last. */
  async #untilOver(container: SystemdContainer): Promise<void> {
    let current = container;
    for (;;) {
      if ((await current.exited) !== "reboot" || this.#isCut) break;
      this.#bootId = undefined;
      try {
        current = await this.#start();
      } catch {
        break; // told by waitReboot: the machine has ended
      }
      if (this.#isCut) await current.kill();
      else void this.#waitUp(current).catch(() => current.kill());
    }
    this.#container = undefined;
    this.#isOn = false;
  }

  /** Configuration goes straight to the disk's upper layer, where the machine finds it as its own /etc. */
  async #writeEtc(): Promise<void> {
    const etc = join(this.#options.directory, "disk/upper/etc");
    const files = {
      ...this.#options.etc,
      "systemd/system/keelson-journal.service.d/10-container.conf": JOURNAL_DROPIN,
    };
    for (const [name, content] of Object.entries(files)) {
      const path = join(etc, name);
      await mkdir(dirname(path), { recursive: true, mode: 0o755 });
      await rm(path, { force: true });
      await writeFile(path, content, { mode: 0o644 });
    }
  }

  async kill(): Promise<void> {
    this.#isCut = true;
    await this.#container?.kill();
    await this.#over;
  }

  async powerCut(): Promise<PowerCutReport> {
    await this.kill();
    return NOTHING_LOST;
  }

  async bootId(): Promise<string> {
    if (this.state === "stopped") throw this.#wrongState("running", "tell the boot of");
    return await waitFor(`boot of ${this.spec.name}`, () => this.#bootId, { timeoutMs: BOOT_TIMEOUT_MS });
  }

  get lastBootId(): string | undefined {
    return this.#bootId;
  }

  get name(): string {
    return this.spec.name;
  }

  async reboot(options: { timeoutMs: number }): Promise<string> {
    return await rebootInOrder(this, options.timeoutMs);
  }

  async waitReboot(options: { timeoutMs: number; after?: string }): Promise<string> {
    return await waitOtherBoot(this, options.after ?? this.#bootId, options.timeoutMs);
  }

  urlOf(port: number): string {
    return this.#options.urlOf(port);
  }

  async serial(): Promise<string> {
    return await readTail(join(this.#options.directory, "console.log"), LOG_BYTES_MAX);
  }

  async restart(): Promise<void> {
    await this.boot();
  }

  async pause(): Promise<void> {
    await this.#need("running", "pause").pause();
    this.#paused = true;
  }

  async resume(): Promise<void> {
    await this.#need("paused", "resume").resume();
    this.#paused = false;
  }

  async killService(service: MachineService): Promise<void> {
    await this.#systemctl(["kill", "--kill-whom=main", "--signal=KILL", `${service}.service`]);
  }

  async stopService(service: MachineService): Promise<void> {
    await this.#systemctl(["stop", `${service}.service`]);
  }

  async startService(service: MachineService): Promise<void> {
    await this.#systemctl(["start", `${service}.service`]);
  }

  async #systemctl(words: readonly string[]): Promise<void> {
    const { exitCode, stderr } = await this.#need("running", `systemctl ${words[0] ?? ""} on`).exec(
      ["systemctl", ...words],
      { check: false, timeoutMs: EXEC_TIMEOUT_MS },
    );
    if (exitCode !== 0)
      throw new ClusterError(`systemctl ${words.join(" ")} failed on ${this.spec.name}: ${stderr.trim()}`);
  }

  async exec(command: string, options: { timeoutMs?: number } = {}): Promise<ExecResult> {
    const container = this.#need("running", "run a command on");
    const timeoutMs = options.timeoutMs ?? EXEC_TIMEOUT_MS;
    const { exitCode, stdout, stderr } = await container.exec(["sh", "-c", command], { check: false, timeoutMs });
    return { exitCode, stdout, stderr };
  }

  async logs(service: MachineService | "system"): Promise<string> {
    const { directory } = this.#options;
    const journal = await readTail(join(directory, "host/journal.log"), LOG_BYTES_MAX);
    if (service !== "system") return linesOf(journal, service);
    return `${await readTail(join(directory, "console.log"), LOG_BYTES_MAX / 4)}${journal.slice(-(LOG_BYTES_MAX * 3) / 4)}`;
  }

  #need(state: "running" | "paused", verb: string): SystemdContainer {
    if (this.state === state && this.#container !== undefined) {
      if (this.#container.isRunning) return this.#container;
      throw new MachineStateError(`cannot ${verb} machine ${this.spec.name}: it is rebooting`);
    }
    throw this.#wrongState(state, verb);
  }

  #wrongState(wanted: MachineState, verb: string): MachineStateError {
    return new MachineStateError(`cannot ${verb} machine ${this.spec.name}: it is ${this.state}, not ${wanted}`);
  }
}
