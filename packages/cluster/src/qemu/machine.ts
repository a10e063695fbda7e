import { join } from "node:path";
import { rebootInOrder, waitOtherBoot } from "../boots.ts";
import { ClusterError, MachineStateError } from "../errors.ts";
import { readTail, sizeOf } from "../files.ts";
import { linesOf } from "../journal.ts";
import type { ExecResult, Machine, MachineService, MachineSpec, MachineState, PowerCutReport } from "../port.ts";
import { NOTHING_LOST } from "../power.ts";
import { waitFor } from "../wait.ts";
import { bootTimes } from "./console.ts";
import { DebugChannel } from "./debug-channel.ts";
import type { VolatileDisk } from "./disk/volatile-disk.ts";
import type { Unflushed } from "./disk/write-cache.ts";
import { type VmEnd, VmProcess } from "./vm-process.ts";

const LOG_BYTES_MAX = 1 << 20;
const EXEC_TIMEOUT_MS = 60_000;
/** Boots in a row that never come up; beyond, the machine is given up rather than started for ever. */
const SILENT_BOOTS_MAX = 30;

/** What happened to a VM, for timelines. */
export interface VmEvent {
  readonly machine: string;
  readonly what: "power-on" | "reset" | "up" | "power-off" | "power-cut";
  /** The boot entry that was chosen, or what was lost. */
  readonly detail?: string;
}

/** How a machine starts and what its disk does, apart from what QEMU does by itself. */
export interface VmPower {
  /** QEMU's command line for the next start, and the boot entry if this decides it. The disk is not in use. */
  prepareBoot(): Promise<{ readonly argv: readonly string[]; readonly entry?: string }>;
  /** QEMU ended because the guest reset itself or powered off: the disk's cache keeps its content. */
  settle(): Promise<void>;
  /** QEMU was killed. */
  cut(): Promise<PowerCutReport>;
}

export interface QemuMachineOptions {
  readonly spec: MachineSpec;
  readonly directory: string;
  readonly power: VmPower;
  /** Its disk, when that has a volatile cache. */
  readonly volatile: VolatileDisk | undefined;
  readonly etcdUrl: string;
  readonly fleetUrl: string;
  readonly urlOf: (port: number) => string;
  /** How long a boot may take. */
  readonly bootTimeoutMs: number;
  readonly onEvent?: ((event: VmEvent) => void) | undefined;
}

/** The files of a machine that QEMU makes. */
export function machineFiles(directory: string) {
  return {
    console: join(directory, "console.log"),
    journal: join(directory, "journal.log"),
    qemuLog: join(directory, "qemu.log"),
    debug: join(directory, "debug.sock"),
    hub: join(directory, "hub.sock"),
    nbd: join(directory, "disk.sock"),
    disk: join(directory, "disk.raw"),
    kernels: join(directory, "kernels"),
    uefiVariables: join(directory, "uefi-vars.fd"),
  };
}

/** One time that the machine has power: from its start through all its reboots to a cut or the end. */
interface Session {
  vm: VmProcess | undefined;
  debug: DebugChannel | undefined;
  isCut: boolean;
  /** What was lost when it was cut. */
  report: PowerCutReport;
  silentBoots: number;
  over: Promise<void>;
}

/** A machine that is a VM booted from our image. */
export class QemuMachine implements Machine {
  readonly spec: MachineSpec;
  readonly etcdUrl: string;
  readonly fleetUrl: string;
  readonly #options: QemuMachineOptions;
  readonly #files: ReturnType<typeof machineFiles>;
  #session: Session | undefined;
  #paused = false;
  #bootId: string | undefined;
  #isUp = false;
  #bootSeconds: number | undefined;
  /** Where the console of the current boot begins. */
  #consoleStart = 0;
  #problem: unknown;

  constructor(options: QemuMachineOptions) {
    this.#options = options;
    this.spec = options.spec;
    this.etcdUrl = options.etcdUrl;
    this.fleetUrl = options.fleetUrl;
    this.#files = machineFiles(options.directory);
  }

  get name(): string {
    return this.spec.name;
  }

  get state(): MachineState {
    if (this.#session === undefined) return "stopped";
    return this.#paused ? "paused" : "running";
  }

  /** QEMU's process. */
  get pid(): number | undefined {
    return this.#session?.vm?.pid;
  }

  /** Seconds from the kernel's start to multi-user.target, of the last boot. */
  get bootSeconds(): number | undefined {
    return this.#bootSeconds;
  }

  /** Of the last boot that came up. */
  get lastBootId(): string | undefined {
    return this.#isUp ? this.#bootId : undefined;
  }

  /** Starts QEMU and waits until the machine takes commands, which is after multi-user.target. */
  async boot(signal?: AbortSignal): Promise<void> {
    this.#need("stopped", "start");
    this.#problem = undefined;
    this.#paused = false;
    const session: Session = {
      vm: undefined,
      debug: undefined,
      isCut: false,
      report: NOTHING_LOST,
      silentBoots: 0,
      over: Promise.resolve(),
    };
    this.#session = session;
    session.over = this.#live(session);
    const ended = new AbortController();
    void session.over.then(() => ended.abort(this.#problem ?? new ClusterError("QEMU has ended")));
    try {
      await waitFor(`boot of ${this.name}`, () => this.lastBootId, {
        timeoutMs: this.#options.bootTimeoutMs,
        signal: signal === undefined ? ended.signal : AbortSignal.any([ended.signal, signal]),
        everyMs: 100,
      });
    } catch (error) {
      await this.kill();
      const console = (await readTail(this.#files.console, 2000)).trim();
      const qemu = (await readTail(this.#files.qemuLog, 2000)).trim();
      throw new ClusterError(
        `machine ${this.name} did not boot; QEMU says: ${qemu || "nothing"}; its console ends: ${console || "empty"}`,
        {},
        { cause: error },
      );
    }
  }

  /** Starts QEMU again and again, as long as it ends because the guest reset itself. */
  async #live(session: Session): Promise<void> {
    try {
      while (!session.isCut) {
        if (session.silentBoots >= SILENT_BOOTS_MAX) {
          throw new ClusterError(`machine ${this.name} has reset itself ${SILENT_BOOTS_MAX} times without coming up`);
        }
        const end = await this.#runOnce(session);
        if (session.isCut || end !== "reset") break;
      }
    } catch (error) {
      this.#problem = error;
    } finally {
      this.#isUp = false;
      this.#session = undefined;
    }
  }

  async #runOnce(session: Session): Promise<VmEnd> {
    const { power, directory } = this.#options;
    const { argv, entry } = await power.prepareBoot();
    await this.#newBoot(session);
    const vm = await VmProcess.start({
      argv,
      directory,
      log: this.#files.qemuLog,
      onReset: () => {
        session.debug?.reset();
        this.#tell("reset");
        void this.#newBoot(session);
      },
    });
    session.vm = vm;
    this.#tell("power-on", entry);
    if (session.isCut) await vm.kill();
    void this.#connectDebug(session, vm).catch((error: unknown) => {
      this.#problem = error;
    });
    const end = await vm.ended;
    session.vm = undefined;
    session.debug?.[Symbol.dispose]();
    session.debug = undefined;
    this.#isUp = false;
    if (end === "other") {
      session.report = await power.cut();
    } else {
      await power.settle();
      this.#tell(end === "reset" ? "reset" : "power-off");
    }
    return end;
  }

  async #newBoot(session: Session): Promise<void> {
    this.#isUp = false;
    session.silentBoots++;
    this.#consoleStart = await sizeOf(this.#files.console);
  }

  async #connectDebug(session: Session, vm: VmProcess): Promise<void> {
    const debug: DebugChannel = await DebugChannel.connect(
      this.#files.debug,
      () => void this.#onUp(session, vm, debug).catch(() => {}), // It ended or was reset again: told by its state.
      vm.signal,
    );
    if (session.vm === vm) session.debug = debug;
    else debug[Symbol.dispose]();
  }

  /** The guest takes commands: it is up once its boot has a name and a time. */
  async #onUp(session: Session, vm: VmProcess, debug: DebugChannel): Promise<void> {
    const { stdout } = await debug.exec("cat /proc/sys/kernel/random/boot_id", EXEC_TIMEOUT_MS);
    const bootId = stdout.trim();
    if (bootId === this.#bootId && this.#isUp) return; // Only the guest's end of the channel was started again.
    this.#bootSeconds = await waitFor(
      "the boot report",
      async () => {
        const bytes = (await sizeOf(this.#files.console)) - this.#consoleStart;
        return bootTimes(await readTail(this.#files.console, Math.min(bytes, LOG_BYTES_MAX))).at(-1);
      },
      { timeoutMs: EXEC_TIMEOUT_MS, everyMs: 100, signal: vm.signal },
    );
    if (session.vm !== vm) return;
    this.#bootId = bootId;
    this.#isUp = true;
    session.silentBoots = 0;
    this.#tell("up");
  }

  #tell(what: VmEvent["what"], detail?: string): void {
    this.#options.onEvent?.({ machine: this.name, what, ...(detail === undefined ? {} : { detail }) });
  }

  async kill(): Promise<void> {
    await this.powerCut();
  }

  async powerCut(): Promise<PowerCutReport> {
    const session = this.#session;
    if (session === undefined) return NOTHING_LOST;
    session.isCut = true;
    await session.vm?.kill();
    await session.over;
    const { unflushedWrites, lostWrites, tornWrites } = session.report;
    this.#tell("power-cut", `${unflushedWrites} writes not flushed, ${lostWrites} lost, ${tornWrites} torn`);
    return session.report;
  }

  /** Writes and flushes of the disk that were recorded so far (see `recordDisk`). */
  get diskRequests(): number {
    return this.#options.volatile?.recorded ?? 0;
  }

  /**
   * Makes the disk as a power cut after the first `count` recorded requests would have left it; recording ends. So one run
   * gives as many power cuts as are wanted.
   *
   * @throws MachineStateError unless the machine is stopped, ClusterError when there are not so many requests
   */
  async rewindDisk(count: number, unflushed: Unflushed, random: () => number): Promise<PowerCutReport> {
    this.#need("stopped", "rewind the disk of");
    const { volatile } = this.#options;
    if (volatile === undefined) throw new ClusterError(`the disk of ${this.name} is not recorded`);
    volatile.stopRecording();
    return await volatile.rewind(count, unflushed, random);
  }

  /** Path of its disk on the host: raw. To be looked at only while the machine is stopped. */
  get diskPath(): string {
    return this.#files.disk;
  }

  async restart(): Promise<void> {
    await this.boot();
  }

  async pause(): Promise<void> {
    this.#need("running", "pause");
    await (await this.#session?.vm?.qmp)?.execute("stop");
    this.#paused = true;
  }

  async resume(): Promise<void> {
    this.#need("paused", "resume");
    await (await this.#session?.vm?.qmp)?.execute("cont");
    this.#paused = false;
  }

  async bootId(): Promise<string> {
    if (this.state === "stopped") this.#need("running", "tell the boot of");
    return await waitFor(`boot of ${this.name}`, () => this.lastBootId, {
      timeoutMs: this.#options.bootTimeoutMs,
      everyMs: 100,
    });
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
    if (exitCode !== 0) throw new ClusterError(`systemctl ${words} failed on ${this.name}: ${stderr.trim()}`);
  }

  async exec(command: string, options: { timeoutMs?: number } = {}): Promise<ExecResult> {
    this.#need("running", "run a command on");
    const debug = this.#session?.debug;
    if (debug === undefined) throw new MachineStateError(`machine ${this.name} is not up yet`);
    return await debug.exec(command, options.timeoutMs ?? EXEC_TIMEOUT_MS);
  }

  async serial(): Promise<string> {
    return await readTail(this.#files.console, LOG_BYTES_MAX);
  }

  async logs(service: MachineService | "system"): Promise<string> {
    const journal = await readTail(this.#files.journal, LOG_BYTES_MAX);
    if (service !== "system") return linesOf(journal, service);
    return `${await readTail(this.#files.console, LOG_BYTES_MAX / 4)}${journal.slice(-(LOG_BYTES_MAX * 3) / 4)}`;
  }

  #need(state: MachineState, verb: string): void {
    if (this.state === state) return;
    throw new MachineStateError(`cannot ${verb} machine ${this.name}: it is ${this.state}, not ${state}`);
  }
}
