import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  Bootlog,
  bootChecksum,
  decideBoot,
  ESP_PATHS,
  encodeGrubenv,
  entryOptions,
  formatEntryFile,
  formatGrubEntry,
  grubEntryPath,
  grubenvFromView,
  kernelPaths,
  MountedEsp,
  openBoot,
  readBootState,
  readEsp,
  SectorFile,
} from "@keelson/boot";
import { SystemClock, SystemRandom } from "@keelson/log";
import { initSysroot, openRepo, openSysroot, pullLocal, type Sysroot } from "@keelson/ostree";
import { Prng } from "@keelson/testkit";
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
} from "../../src/index.ts";

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
    await mkdir(join(root, "keys"), { recursive: true });
    await writeFile(join(root, "keys/test.pub"), `${options.key}\n`);
    await initSysroot(root);
    await using sysroot = await openSysroot(root);
    await using source = await openRepo(options.repo);
    await pullLocal(sysroot.repo, source, { commits: [commit] });
    const deployment = await sysroot.finalize(await sysroot.stage(commit, { origin: {} }), { mergeFrom: null });
    await machine.#writeEsp(deployment, version);
    await machine.powerOn();
    return machine;
  }

  get path(): string {
    return join(this.root, "ostree/deploy/keelson/deploy", this.booted.deployment);
  }

  /** What the boot loader, the kernel and systemd do. */
  async powerOn(): Promise<void> {
    const esp = new MountedEsp(join(this.root, "esp"));
    for (;;) {
      this.#bootCount++;
      const { entry, next } = decideBoot(readBootState(await readEsp(esp)), "direct");
      await esp.writeAt(ESP_PATHS.grubenv, 0, encodeGrubenv(grubenvFromView(next.grub)).subarray(0, 512));
      this.booted = { version: entry.version ?? "", deployment: entry.deployment, entry: entry.id };
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
    const { entry, deployment, version } = this.booted;
    const cmdline = `quiet ostree=/ostree/deploy/keelson/deploy/${deployment} keelson.entry=${entry} keelson.loader=direct`;
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
        nodeUuid: new Prng(this.root).seed,
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

  /** An ESP and a boot log with one good entry, as the image builder writes them. */
  async #writeEsp(deployment: { id: string; path: string }, version: string): Promise<void> {
    const esp = join(this.root, "esp");
    const modules = join(deployment.path, "usr/lib/modules/6.12");
    const kernel = await readFile(join(modules, "vmlinuz"));
    const initramfs = await readFile(join(modules, "initramfs.img"));
    const bootcsum = bootChecksum(kernel, initramfs);
    const id = "keelson-1";
    const entry = {
      id,
      number: 1,
      version,
      deployment: deployment.id,
      bootcsum,
      options: entryOptions(["quiet"], [], { id, deployment: deployment.id }),
    };
    for (const directory of [ESP_PATHS.entries, ESP_PATHS.grub, kernelPaths(bootcsum).directory]) {
      await mkdir(join(esp, directory), { recursive: true });
    }
    const grubenv = new Uint8Array(1024).fill(0x23);
    grubenv.set(encodeGrubenv(grubenvFromView({ default: id })));
    await writeFile(join(esp, kernelPaths(bootcsum).kernel), kernel);
    await writeFile(join(esp, kernelPaths(bootcsum).initramfs), initramfs);
    await writeFile(join(esp, ESP_PATHS.entries, `${id}.conf`), formatEntryFile(entry));
    await writeFile(join(esp, grubEntryPath(id)), formatGrubEntry(entry));
    await writeFile(join(esp, ESP_PATHS.grubenv), grubenv);
    await writeFile(join(this.root, "bootlog"), new Uint8Array(1 << 20));
  }
}
