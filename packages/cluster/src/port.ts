import type { MachineId } from "@keelson/types";
import type { ServiceAddress } from "./services/open.ts";

/** How one machine of a cluster is told who it is. Provider-independent. */
export interface MachineSpec {
  /** Host name and etcd member name, such as `m1`. Letters, digits and `-`. */
  readonly name: string;
  /** 32 lower-case hex digits. */
  readonly machineId: MachineId;
  /** fleet metadata, such as `{ disk: "ssd" }`. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** A program of the machine that tests may stop alone. */
export type MachineService = "etcd" | "fleetd";

/** What a command on a machine left behind. */
export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A machine that reboots runs; see {@link Machine.waitReboot} for when it is up again. */
export type MachineState = "running" | "paused" | "stopped";

/** What a power cut did to writes that the machine had not flushed. All 0 where the disk has no volatile cache. */
export interface PowerCutReport {
  readonly unflushedWrites: number;
  readonly lostWrites: number;
  /** Of which some sectors were written. */
  readonly tornWrites: number;
}

/** A machine that was started by a {@link MachineProvider}. Methods wait until what they say is so. */
export interface Machine {
  readonly spec: MachineSpec;
  /** etcd's client URL as reached from the host, such as `http://127.0.0.1:23791`. */
  readonly etcdUrl: string;
  /** fleetd's API as reached from the host: `unix:///…` or `http://127.0.0.1:port`. */
  readonly fleetUrl: string;
  readonly state: MachineState;
  /** A port of the machine as reached from the host, as `http://` URL. @throws ClusterError when it is not */
  urlOf(port: number): string;
  /** Cuts the machine's power: everything on it ends at once, nothing is flushed on purpose. */
  kill(): Promise<void>;
  /** As {@link kill}, and tells what became of writes in the disk's cache. */
  powerCut(): Promise<PowerCutReport>;
  /** Starts a killed machine again on the disk it had. */
  restart(): Promise<void>;
  /** Freezes every process (SIGSTOP, or the VM's CPUs). */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** SIGKILLs one program; the machine's own service manager may bring it back. */
  killService(service: MachineService): Promise<void>;
  /** Stops one program until {@link startService}. */
  stopService(service: MachineService): Promise<void>;
  startService(service: MachineService): Promise<void>;
  /** Runs a command on the machine (`sh -c`); output is bounded to 1 MiB. */
  exec(command: string, options?: { timeoutMs?: number }): Promise<ExecResult>;
  /** Names the machine's current boot; another one after every start and reboot. Waits for a boot that is going on. */
  bootId(): Promise<string>;
  /** Has the machine reboot itself, in order, and returns the id of the boot in which it is up again. Throws as {@link waitReboot}. */
  reboot(options: { readonly timeoutMs: number }): Promise<string>;
  /**
   * Waits until the machine is up in another boot than `after` (default: the last one that was seen before the call), and
   * returns its id. Who asks a machine to reboot and may miss it takes `bootId()` first.
   *
   * @throws ClusterError when that takes too long, the machine ends, or it cannot reboot (see {@link Supports.reboot})
   */
  waitReboot(options: { readonly timeoutMs: number; readonly after?: string }): Promise<string>;
  /** What all boots have printed on the serial console (or what stands for it), newest last, at most 1 MiB. */
  serial(): Promise<string>;
  /** The logs of a program, or of everything (`system`: the journal or serial console), newest last, at most 1 MiB. */
  logs(service: MachineService | "system"): Promise<string>;
}

/** What machines of a kind can do beyond what all can. The contract suite tests what is said here. */
export interface Supports {
  /** Whether a machine that reboots itself comes back. */
  readonly reboot: boolean;
  /** Whether a power cut loses what was not flushed. */
  readonly volatileCache: boolean;
}

/** Makes machines of one kind. One provider owns one cluster: its directory, network and processes. */
export interface MachineProvider extends AsyncDisposable {
  readonly kind: "process" | "container" | "qemu";
  readonly supports: Supports;
  /** How long waits may take here, as a factor on those of processes: 1, 2 or 10. */
  readonly slowness: number;
  /** Starts all machines, wired to each other as one etcd cluster. Resolves when they run, not when they have a quorum. */
  start(specs: readonly MachineSpec[], options?: { signal?: AbortSignal }): Promise<readonly Machine[]>;
  /** Splits the network: machines of different groups cannot reach each other; the host still reaches all. */
  partition(groups: readonly (readonly string[])[]): Promise<void>;
  /** Ends every partition. */
  heal(): Promise<void>;
  /** Where machines reach a service of the host that the provider was given. @throws ClusterError for others */
  serviceAddress(name: string): ServiceAddress;
  /** Copies logs, configuration and consoles to `directory`. */
  collect(directory: string): Promise<void>;
  /** Ends everything and, unless asked to keep it, removes the directory. */
  [Symbol.asyncDispose](): Promise<void>;
}
