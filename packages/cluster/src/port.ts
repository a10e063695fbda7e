import type { MachineId } from "@keelson/types";

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

export type MachineState = "running" | "paused" | "stopped";

/** A machine that was started by a {@link MachineProvider}. Methods wait until what they say is so. */
export interface Machine {
  readonly spec: MachineSpec;
  /** etcd's client URL as reached from the host, such as `http://127.0.0.1:23791`. */
  readonly etcdUrl: string;
  /** fleetd's API as reached from the host: `unix:///…` or `http://127.0.0.1:port`. */
  readonly fleetUrl: string;
  readonly state: MachineState;
  /** Cuts the machine's power: everything on it ends at once, nothing is flushed on purpose. */
  kill(): Promise<void>;
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
  /** The logs of a program, or of everything (`system`: the journal or serial console), newest last, at most 1 MiB. */
  logs(service: MachineService | "system"): Promise<string>;
}

/** Makes machines of one kind. One provider owns one cluster: its directory, network and processes. */
export interface MachineProvider extends AsyncDisposable {
  readonly kind: "process" | "container" | "qemu";
  /** How long waits may take here, as a factor on those of processes: 1, 2 or 10. */
  readonly slowness: number;
  /** Starts all machines, wired to each other as one etcd cluster. Resolves when they run, not when they have a quorum. */
  start(specs: readonly MachineSpec[], options?: { signal?: AbortSignal }): Promise<readonly Machine[]>;
  /** Splits the network: machines of different groups cannot reach each other; the host still reaches all. */
  partition(groups: readonly (readonly string[])[]): Promise<void>;
  /** Ends every partition. */
  heal(): Promise<void>;
  /** Copies logs, configuration and consoles to `directory`. */
  collect(directory: string): Promise<void>;
  /** Ends everything and, unless asked to keep it, removes the directory. */
  [Symbol.asyncDispose](): Promise<void>;
}
