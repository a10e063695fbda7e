import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ContainerError, UnsupportedError } from "../errors.ts";
import { listProcesses } from "../proc.ts";
import { type RunOptions, type RunResult, run } from "../run.ts";
import { Cgroup, findCgroup2 } from "./cgroup.ts";
import {
  type ContainerRecord,
  endRecorded,
  isRunning,
  keyOf,
  type ProcessKey,
  removeRecord,
  sweepContainers,
  writeRecord,
} from "./records.ts";
import { SETUP_SCRIPT } from "./setup.ts";

/** Where records of running containers are kept unless told otherwise. */
export const CONTAINER_STATE_DIRECTORY = "/run/keelson/containers";

/** A host path that the container sees. */
export interface Bind {
  readonly source: string;
  /** Absolute, in the container; made when missing. */
  readonly target: string;
  readonly readOnly?: boolean;
}

/** Options of {@link SystemdContainer.start}. One of `rootfs` and `lowerdirs`. */
export interface SystemdContainerOptions {
  /** A tree to boot, written to directly. */
  readonly rootfs?: string;
  /** Layers of an overlay, topmost first; `["/"]` boots the host's own programs. */
  readonly lowerdirs?: readonly string[];
  /**
   * Keeps the overlay's upper and work directories (`<overlay>/upper`, `<overlay>/work`), so that a later start finds
   * the disk as it was. Without it, writes go to memory and end with the container. Never on the file system of a
   * lowerdir that contains it.
   */
  readonly overlay?: string;
  /** Letters, digits and `-`. */
  readonly hostname: string;
  /** 32 lower-case hex digits. Default: random. */
  readonly machineId?: string;
  readonly binds?: readonly Bind[];
  /** What would stand on a kernel command line: `systemd.unit=…`, `systemd.mask=…`. */
  readonly arguments?: readonly string[];
  /** Given to systemd as credentials: name -> content. */
  readonly credentials?: Readonly<Record<string, string>>;
  /** `private` (default): a new, empty network; or the name of one made with `ip netns add`. */
  readonly netns?: string;
  /** A host file that gets what systemd prints. Default: in the scratch directory, see {@link SystemdContainer.consoleLog}. */
  readonly consoleLog?: string;
  /** Default {@link CONTAINER_STATE_DIRECTORY}. */
  readonly stateDirectory?: string;
  /** Path of systemd in the root. Default `/lib/systemd/systemd`. */
  readonly init?: string;
  /** Ends the container. */
  readonly signal?: AbortSignal;
}

/** Capabilities that would reach through to the host's kernel. */
const DROPPED = "-sys_module,-sys_time,-sys_rawio";
/** SIGRTMIN+4: asks systemd to power off. Source: systemd(1), "Signals". */
const SIGNAL_POWEROFF = 38;

/**
 * Why system containers cannot be run here, in a sentence; undefined when they can. `init` is looked for on the host
 * only when its root is to be booted.
 */
export function systemdContainerProblem(init?: string): string | undefined {
  if (process.platform !== "linux") return "system containers need Linux";
  if (process.getuid?.() !== 0) return "system containers need root";
  for (const program of ["unshare", "nsenter", "setpriv", "mount", "pivot_root"]) {
    if (!isOnPath(program)) return `system containers need the program ${program} (Debian: util-linux)`;
  }
  if (init !== undefined && !existsSync(init)) return `${init} does not exist (Debian: apt-get install systemd dbus)`;
  try {
    findCgroup2();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return undefined;
}

/** How a container came to its end: systemd asked for a reboot, or anything else. */
export type ContainerEnd = "reboot" | "other";

/**
 * A machine: real systemd as PID 1 in its own mount, PID, network, cgroup, UTS and IPC namespaces. Not a security
 * boundary: root in it is root of the host. Its end, however it comes, leaves no process, mount or cgroup.
 */
export class SystemdContainer implements AsyncDisposable {
  /** PID 1 of the container, as the host sees it. `/proc/<pid>/root` is its root directory. */
  readonly pid: number;
  readonly name: string;
  readonly machineId: string;
  readonly consoleLog: string;
  /** Resolves when the container has ended, however that came about, and nothing of it is left. */
  readonly exited: Promise<ContainerEnd>;
  readonly #init: ProcessKey;
  readonly #cgroup: Cgroup;

  private constructor(
    record: ContainerRecord & { init: ProcessKey },
    machineId: string,
    consoleLog: string,
    exited: Promise<ContainerEnd>,
  ) {
    this.#init = record.init;
    this.pid = record.init.pid;
    this.name = record.name;
    this.machineId = machineId;
    this.consoleLog = consoleLog;
    this.exited = exited;
    this.#cgroup = new Cgroup(record.cgroup);
  }

  /**
   * Starts a container and resolves when its PID 1 is systemd; see {@link waitBoot} for the rest. First ends
   * containers whose owners were killed.
   *
   * @throws UnsupportedError where it cannot work, ContainerError when it did not
   */
  static async start(options: SystemdContainerOptions): Promise<SystemdContainer> {
    const problem = systemdContainerProblem();
    if (problem !== undefined) throw new UnsupportedError(problem);
    checkOptions(options);
    options.signal?.throwIfAborted();
    const stateDirectory = options.stateDirectory ?? CONTAINER_STATE_DIRECTORY;
    await sweepContainers(stateDirectory);
    const name = `keelson-${options.hostname}-${randomBytes(4).toString("hex")}`;
    const scratch = mkdtempSync(join(tmpdir(), `${name}-`));
    const owner = keyOf(process.pid) ?? { pid: process.pid, startTicks: 0 };
    const record: ContainerRecord = { name, owner, cgroup: join(findCgroup2(), name), scratch };
    writeRecord(stateDirectory, record);
    try {
      const machineId = options.machineId ?? randomBytes(16).toString("hex");
      const consoleLog = options.consoleLog ?? join(scratch, "console.log");
      const launcher = launch(options, record, machineId, consoleLog);
      const init = await findInit(launcher, options.init ?? DEFAULT_INIT, consoleLog);
      const full = { ...record, init };
      writeRecord(stateDirectory, full);
      const exited = cleanUpAfter(launcher, full, stateDirectory);
      exited.catch(() => {}); // told to whoever waits for it
      const container = new SystemdContainer(full, machineId, consoleLog, exited);
      options.signal?.addEventListener("abort", () => void container.kill().catch(() => {}), { once: true });
      return container;
    } catch (error) {
      await endRecorded(record);
      removeRecord(stateDirectory, name);
      throw error;
    }
  }

  /** Runs a command in the container. Rejects, like {@link run}, unless it exits with 0 or `check` is false. */
  async exec(argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<RunResult> {
    if (!this.isRunning) throw new ContainerError(`the container ${this.name} does not run`);
    // It joins the container's cgroup, so that freezing and killing reach it too.
    const join_ = 'echo 0 > "$0/init.scope/cgroup.procs" 2>/dev/null || echo 0 > "$0/cgroup.procs"; exec "$@"';
    const enter = ["nsenter", "-t", String(this.pid), "-m", "-u", "-i", "-n", "-p", "-C", "--", ...argv];
    return await run(["sh", "-c", join_, this.#cgroup.path, ...enter], { env: EXEC_ENVIRONMENT, ...options });
  }

  get isRunning(): boolean {
    return isRunning(this.#init);
  }

  /**
   * Waits until systemd has started everything it was told to start.
   *
   * @returns `running`, or `degraded` when a unit failed
   * @throws ContainerError with the end of the console when that takes too long
   */
  async waitBoot(timeoutMs = 60_000): Promise<"running" | "degraded"> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const left = deadline - performance.now();
      if (left <= 0 || !this.isRunning) {
        throw new ContainerError(
          `${this.name} did not boot within ${timeoutMs} ms; its console ends: ${this.#consoleTail()}`,
        );
      }
      const result = await this.exec(["systemctl", "is-system-running", "--wait"], {
        check: false,
        timeoutMs: left,
      }).catch(() => undefined);
      const state = result?.stdout.trim();
      if (state === "running" || state === "degraded") return state;
      await delay(20); // its bus is not there yet
    }
  }

  /** Cuts its power: SIGKILL for PID 1, and with it the kernel ends everything. Waits until nothing is left. */
  async kill(): Promise<void> {
    if (isRunning(this.#init)) {
      process.kill(this.pid, "SIGKILL");
      this.#cgroup.thaw();
    }
    await this.exited;
  }

  /** Asks systemd to stop everything and to power off; cuts the power after `timeoutMs`. */
  async poweroff(timeoutMs = 30_000): Promise<void> {
    if (isRunning(this.#init)) process.kill(this.pid, SIGNAL_POWEROFF);
    const stop = new AbortController();
    const late = delay(timeoutMs, "late" as const, { signal: stop.signal }).catch(() => "ended" as const);
    if ((await Promise.race([this.exited, late])) === "late") await this.kill();
    stop.abort();
  }

  /** Freezes every process of it. */
  async pause(): Promise<void> {
    await this.#cgroup.setFrozen(true);
  }

  async resume(): Promise<void> {
    await this.#cgroup.setFrozen(false);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #consoleTail(): string {
    return existsSync(this.consoleLog) ? readFileSync(this.consoleLog, "utf8").slice(-2000) : "(no console)";
  }
}

const DEFAULT_INIT = "/lib/systemd/systemd";
const EXEC_ENVIRONMENT = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  LANG: "C.UTF-8",
  TERM: "dumb",
};

function checkOptions(options: SystemdContainerOptions): void {
  const { rootfs, lowerdirs, hostname, machineId, binds = [] } = options;
  const refuse = (problem: string): never => {
    throw new ContainerError(`cannot start the container ${hostname}: ${problem}`);
  };
  if (!/^[A-Za-z0-9-]{1,48}$/.test(hostname)) refuse("its host name must be 1 to 48 letters, digits and -");
  if (machineId !== undefined && !/^[0-9a-f]{32}$/.test(machineId))
    refuse("its machine id must be 32 lower-case hex digits");
  if ((rootfs === undefined) === (lowerdirs === undefined)) refuse("give one of rootfs and lowerdirs");
  for (const path of [rootfs, ...(lowerdirs ?? [])]) {
    if (path !== undefined && !existsSync(path)) refuse(`its root ${path} does not exist`);
  }
  if (lowerdirs?.some((path) => /[:,\\]/.test(path)) === true) refuse("the path of a layer cannot hold : , or \\");
  for (const { source, target } of binds) {
    if (!existsSync(source)) refuse(`the bind source ${source} does not exist`);
    if (!target.startsWith("/") || /[\t\n]/.test(source + target))
      refuse(`the bind target ${target} is not an absolute path`);
  }
}

function launch(
  options: SystemdContainerOptions,
  record: ContainerRecord,
  machineId: string,
  consoleLog: string,
): ChildProcess {
  const cgroup = Cgroup.create(record.name);
  const root = join(record.scratch, "root");
  mkdirSync(root);
  const { overlay } = options;
  if (overlay !== undefined) for (const name of ["upper", "work"]) mkdirSync(join(overlay, name), { recursive: true });
  const console_ = openSync(consoleLog, "a", 0o644);
  const network =
    options.netns === undefined || options.netns === "private" ? [] : ["nsenter", `--net=/run/netns/${options.netns}`];
  const namespaces = ["-m", "-C", "-p", "-f", "-u", "-i", ...(network.length === 0 ? ["-n"] : []), "--kill-child"];
  const init = ["setpriv", "--bounding-set", DROPPED, "sh", "-c", SETUP_SCRIPT, "setup", ...(options.arguments ?? [])];
  try {
    const child = spawn(
      "sh",
      ["-c", 'echo 0 > "$0/cgroup.procs"; exec "$@"', cgroup.path, ...network, "unshare", ...namespaces, ...init],
      {
        stdio: ["ignore", console_, console_],
        detached: true, // a terminal's Ctrl-C is for us, who then end the container
        env: {
          PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          K_ROOT: root,
          K_ROOTFS: options.rootfs ?? "",
          K_LOWER: (options.lowerdirs ?? []).join(":"),
          K_UPPER: overlay === undefined ? "" : join(overlay, "upper"),
          K_WORK: overlay === undefined ? "" : join(overlay, "work"),
          K_BINDS: (options.binds ?? [])
            .map((b) => `${b.readOnly === true ? "ro" : "rw"}\t${b.source}\t${b.target}\n`)
            .join(""),
          K_HOSTNAME: options.hostname,
          K_MACHINE_ID: machineId,
          K_CREDENTIALS: writeCredentials(options.credentials, record.scratch),
          K_CONSOLE: consoleLog,
          K_INIT: options.init ?? DEFAULT_INIT,
        },
      },
    );
    child.on("error", () => {}); // told by its exit
    return child;
  } finally {
    closeSync(console_);
  }
}

function writeCredentials(credentials: SystemdContainerOptions["credentials"], scratch: string): string {
  if (credentials === undefined) return "";
  const directory = join(scratch, "credentials");
  mkdirSync(directory, { mode: 0o700 });
  for (const [name, content] of Object.entries(credentials)) {
    if (!/^[A-Za-z0-9._-]+$/.test(name))
      throw new ContainerError(`the credential name ${JSON.stringify(name)} is not valid`);
    writeFileSync(join(directory, name), content, { mode: 0o600 });
  }
  return directory;
}

/** Waits until the launcher's child, PID 1 of the namespaces, has become systemd. */
async function findInit(launcher: ChildProcess, init: string, consoleLog: string): Promise<ProcessKey> {
  const wanted = init.slice(init.lastIndexOf("/") + 1).slice(0, 15);
  for (const deadline = performance.now() + 20_000; performance.now() < deadline; await delay(5)) {
    if (launcher.exitCode !== null || launcher.signalCode !== null || launcher.pid === undefined) break;
    const child = listProcesses().find((stat) => stat.parent === launcher.pid && stat.comm === wanted);
    const key = child === undefined ? undefined : keyOf(child.pid);
    if (key !== undefined) return key;
  }
  launcher.kill("SIGKILL"); // --kill-child ends what it started
  const said = readFileSync(consoleLog, "utf8").slice(-2000);
  throw new ContainerError(`the container's root could not be prepared${said === "" ? "" : `: ${said}`}`);
}

async function cleanUpAfter(
  launcher: ChildProcess,
  record: ContainerRecord,
  stateDirectory: string,
): Promise<ContainerEnd> {
  if (launcher.exitCode === null && launcher.signalCode === null) await once(launcher, "exit");
  await new Cgroup(record.cgroup).remove();
  rmSync(record.scratch, { recursive: true, force: true });
  removeRecord(stateDirectory, record.name);
  // A reboot in a PID namespace is SIGHUP to its PID 1 (pid_namespaces(7)), and unshare ends as its child did.
  return launcher.signalCode === "SIGHUP" ? "reboot" : "other";
}

function isOnPath(program: string): boolean {
  return ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
