import { join } from "node:path";
import { Bootlog, openBoot, SectorFile } from "@keelson/boot";
import { SystemClock, SystemRandom } from "@keelson/log";
import { openSysroot, type Sysroot } from "@keelson/ostree";
import { silentLogger } from "@keelson/types";
import {
  AgentApi,
  AgentMetrics,
  bootPort,
  type Check,
  FileStateStore,
  HttpGraphClient,
  LocalHealthGate,
  NO_BOARD,
  ostreePorts,
  type Policy,
  type RebootLock,
  type RolloutBoard,
  type UpdateDeps,
  Updater,
} from "../index.ts";
import { bootNext, cmdlineOf, installMachine } from "./machine-files.ts";

/** What a machine of a test shares with others. */
export interface Shared {
  readonly lock: RebootLock;
  readonly board: RolloutBoard;
}

/** Reboots are allowed at any time, and nobody else is there. */
export const ALONE: Shared = {
  board: NO_BOARD,
  lock: {
    acquire: async () => {},
    resume: async () => false,
    release: async () => {},
    confirm: async () => {},
    onLost: () => {},
  },
};

const POLICY: Policy = {
  isEnabled: true,
  machine: "m1",
  steadyMs: 100,
  retryMinMs: 50,
  retryMaxMs: 200,
  failuresMax: 12,
  abandonMs: 400,
  gateDeadlineMs: 1_500,
  preflightDeadlineMs: 1_000,
  needsLock: false,
};

/**
 * A machine in a directory: a real sysroot, a real ESP and boot log that {@link decideBoot} follows, a real agent. A reboot
 * ends the agent and starts another one under what the boot loader chose.
 */
export class TestMachine implements AsyncDisposable {
  readonly root: string;
  readonly policy: Policy;
  /** Versions whose kernel panics. */
  readonly panics = new Set<string>();
  /** Versions that are not well, and why. */
  readonly unwell = new Map<string, string>();
  readonly boots: string[] = [];
  updater: Updater | undefined;
  /** Called before the machine goes down. */
  onReboot: () => Promise<void> = async () => {};
  booted = { version: "", deployment: "", entry: "" };
  #serverUrl: string;
  readonly #shared: () => Promise<Shared>;
  #bootCount = 0;
  #rebooted: Promise<void> = Promise.resolve();

  private constructor(root: string, serverUrl: string, shared: () => Promise<Shared>, policy: Partial<Policy>) {
    this.root = root;
    this.#serverUrl = serverUrl;
    this.#shared = shared;
    this.policy = { ...POLICY, ...policy };
  }

  /** Installs a version from an archive repository, as an image does, and powers the machine on. */
  static async install(options: {
    readonly root: string;
    readonly repo: string;
    readonly commit: string;
    readonly version: string;
    readonly key: string;
    readonly serverUrl: string;
    readonly shared?: () => Promise<Shared>;
    readonly policy?: Partial<Policy>;
  }): Promise<TestMachine> {
    const { root, commit, version } = options;
    const shared = options.shared ?? (async () => ALONE);
    const machine = new TestMachine(root, options.serverUrl, shared, options.policy ?? {});
    await installMachine({ root, commit, version, repo: options.repo, key: options.key });
    await machine.powerOn();
    return machine;
  }

  get path(): string {
    return join(this.root, "ostree/deploy/keelson/deploy", this.booted.deployment);
  }

  /** What the boot loader, the kernel and systemd do. */
  async powerOn(): Promise<void> {
    for (;;) {
      this.#bootCount++;
      this.booted = await bootNext(this.root);
      this.boots.push(this.booted.version);
      if (!this.panics.has(this.booted.version)) break;
    }
    await new Bootlog(new SectorFile(join(this.root, "bootlog"))).record(this.booted.entry, "switch-root", undefined);
    await this.startAgent();
  }

  async startAgent(): Promise<void> {
    this.updater = await Updater.start(await this.#deps(), this.policy);
  }

  async stopAgent(): Promise<void> {
    await this.updater?.[Symbol.asyncDispose]();
    this.updater = undefined;
  }

  /** The API of the present agent on a socket of the machine. */
  async serve(): Promise<{ api: AgentApi; socket: string }> {
    const { updater } = this;
    if (updater === undefined) throw new Error("the agent does not run");
    const facts = {
      agent: { version: "0.1.0", strategy: "reboot", enabled: true },
      server: { url: this.#serverUrl, stream: "stable", group: "default" },
    };
    const metrics = new AgentMetrics({ strategy: "reboot", isEnabled: true, rolloutWariness: undefined }, 0);
    const api = new AgentApi(updater, facts, metrics, silentLogger);
    const socket = join(this.root, "updated.sock");
    await api.listen(socket);
    return { api, socket };
  }

  /** Another server from the next start of the agent on. */
  set serverUrl(url: string) {
    this.#serverUrl = url;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopAgent();
    await this.#rebooted;
    await this.stopAgent();
  }

  async #deps(): Promise<UpdateDeps> {
    const { version } = this.booted;
    const cmdline = cmdlineOf(this.booted);
    const sysroot = async (): Promise<Sysroot> => await openSysroot(this.root, { cmdline });
    const boot = bootPort(
      async () => await openBoot({ esp: join(this.root, "esp"), bootlog: join(this.root, "bootlog"), cmdline }),
      sysroot,
      async () => `boot-${this.#bootCount}`,
    );
    const clock = new SystemClock();
    const well: Check = {
      name: "fleetd",
      isRequired: true,
      look: async () => {
        const why = this.unwell.get(version);
        return why === undefined ? { outcome: "passed", detail: "" } : { outcome: "failed", detail: why };
      },
    };
    return {
      clock,
      random: new SystemRandom(),
      logger: silentLogger,
      allowDowngrade: false,
      identity: {
        basearch: "x86_64",
        stream: "stable",
        nodeUuid: this.root,
        group: "default",
        rolloutWariness: undefined,
      },
      graph: new HttpGraphClient(this.#serverUrl, { timeoutMs: 2_000 }),
      ...ostreePorts({
        sysroot,
        boot,
        url: `${this.#serverUrl}/repo`,
        keyDirectories: [join(this.root, "keys")],
        allowDowngrade: false,
        pull: { retries: 0 },
      }),
      boot,
      ...(await this.#shared()),
      gate: new LocalHealthGate([async () => [well]], clock, silentLogger),
      rebooter: {
        reboot: async () => {
          // Not awaited: the agent that asked must be able to end.
          this.#rebooted = Promise.resolve()
            .then(() => this.onReboot())
            .then(() => this.stopAgent())
            .then(() => this.powerOn());
        },
      },
      store: new FileStateStore(join(this.root, "state.json")),
    };
  }
}
