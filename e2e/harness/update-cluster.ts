import { randomBytes } from "node:crypto";
import { type Machine, makeSpecs, serviceAddress, waitFor } from "@keelson/cluster";
import { type QemuMachine, QemuProvider, type QemuProviderOptions } from "@keelson/cluster/qemu";
import { EtcdClient } from "@keelson/etcd-client";
import { EtcdLockStore, Semaphore } from "@keelson/locksmith";
import { tempDir } from "@keelson/testkit";
import { TestCluster } from "./cluster.ts";
import { Releases } from "./releases.ts";
import type { Timeline } from "./timeline.ts";
import { UpdateServerProcess } from "./update-server.ts";

/**
 * More patient than other scenarios: beside machines that pull, deploy and boot under emulation, the others get no CPU
 * for seconds, which must not look like their death.
 */
const TIMING = { heartbeatMs: 600, electionMs: 6_000, agentTtlMs: 20_000 };

/** Where the web container answers on each machine. */
export const WEB_PORT = 8080;

export interface UpdateClusterOptions {
  readonly machines: number;
  readonly firmware?: QemuProviderOptions["firmware"];
  readonly disk?: QemuProviderOptions["disk"];
  readonly recordDisk?: boolean;
  readonly random?: () => number;
  /** Ports of this host's loopback that the machines reach, besides the update server's. */
  readonly services?: Readonly<Record<string, number>>;
  readonly timeline: Timeline;
  /** Further settings of `updated` (see `updated --help`). */
  readonly settings?: Readonly<Record<string, string>>;
}

/** What `osctl update status -o json` says that scenarios look at. */
export interface UpdateStatus {
  readonly state: string;
  readonly note: string | null;
  readonly booted: { readonly version: string; readonly onTrial: boolean };
  readonly last: { readonly text: string } | null;
  readonly denied: readonly { readonly version: string; readonly reason: string }[];
  readonly lastCheck: { readonly error: string | null };
}

/** VMs that run version 1.0.0 and follow an update server on this host. */
export class UpdateCluster implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly provider: QemuProvider;
  readonly machines: readonly QemuMachine[];
  readonly releases: Releases;
  readonly server: UpdateServerProcess;
  readonly timeline: Timeline;
  readonly #parts: AsyncDisposableStack;

  private constructor(
    parts: AsyncDisposableStack,
    own: Pick<UpdateCluster, "cluster" | "provider" | "machines" | "releases" | "server" | "timeline">,
  ) {
    this.#parts = parts;
    this.cluster = own.cluster;
    this.provider = own.provider;
    this.machines = own.machines;
    this.releases = own.releases;
    this.server = own.server;
    this.timeline = own.timeline;
  }

  /** Builds and publishes 1.0.0, starts the update server and the machines, and waits until fleet sees them all. */
  static async start(options: UpdateClusterOptions): Promise<UpdateCluster> {
    const { timeline } = options;
    await using parts = new AsyncDisposableStack();
    const root = parts.use(await tempDir("releases"));
    const releases = parts.use(await Releases.create(root.path));
    const first = await releases.publishWithImage("1.0.0");
    timeline.add("harness", `published 1.0.0 (${first.seconds.toFixed(1)} s)`);
    const server = parts.use(await UpdateServerProcess.start(root.path));
    const services = { updates: server.port, ...options.services };
    const { host, port } = serviceAddress(services, "updates");
    const settings = {
      UPDATED_CINCINNATI_BASE_URL: `http://${host}:${port}`,
      UPDATED_UPDATES_STRATEGY: "etcd-lock",
      UPDATED_AGENT_TIMING_STEADY_INTERVAL_SECS: "10",
      UPDATED_AGENT_TIMING_RETRY_MIN_SECS: "5",
      UPDATED_HEALTH_DEADLINE_SECS: "150",
      // Reading a deployment back whole takes a minute under emulation.
      UPDATED_UPDATES_VERIFY: "sample",
      ...options.settings,
    };
    const provider = parts.use(
      new QemuProvider({
        image: first.image,
        firmware: options.firmware ?? "direct",
        timing: TIMING,
        ...(options.disk === undefined ? {} : { disk: options.disk }),
        ...(options.recordDisk === undefined ? {} : { recordDisk: options.recordDisk }),
        ...(options.random === undefined ? {} : { random: options.random }),
        config: { "opt/keelson/update.env": envFile(settings) },
        services,
        ports: [WEB_PORT],
        onEvent: ({ machine, what, detail }) =>
          timeline.add(machine, detail === undefined ? what : `${what}: ${detail}`),
      }),
    );
    const machines = await provider.start(makeSpecs(`update-${randomBytes(3).toString("hex")}`, options.machines));
    const cluster = await TestCluster.of("qemu", provider, machines);
    timeline.add("harness", `${options.machines} machines run 1.0.0`);
    return new UpdateCluster(parts.move(), { cluster, provider, machines, releases, server, timeline });
  }

  /** The agent's status, or undefined while it cannot be asked. */
  async status(machine: Machine): Promise<UpdateStatus | undefined> {
    const result = await machine.exec("osctl update status -o json", { timeoutMs: 20_000 }).catch(() => undefined);
    return result?.exitCode === 0 ? (JSON.parse(result.stdout) as UpdateStatus) : undefined;
  }

  /** Waits for a status, and says what it was last when it does not come. */
  async waitForStatus(
    machine: Machine,
    what: string,
    want: (status: UpdateStatus) => boolean,
    timeoutMs: number,
  ): Promise<UpdateStatus> {
    return await waitFor(
      `${machine.spec.name}: ${what}`,
      async () => {
        const status = await this.status(machine);
        return status !== undefined && want(status) ? status : undefined;
      },
      // Each asks by a program that starts on the machine, and so takes CPU from what is waited for.
      { timeoutMs, everyMs: 5_000 },
    );
  }

  /** The version a machine runs, as its own /etc/os-release says; undefined while it cannot be asked. */
  async version(machine: Machine): Promise<string | undefined> {
    const result = await machine
      .exec(". /usr/lib/os-release && echo $IMAGE_VERSION", { timeoutMs: 10_000 })
      .catch(() => undefined);
    return result?.exitCode === 0 ? result.stdout.trim() : undefined;
  }

  /** Names of the machines that hold the reboot lock now, through whoever answers. */
  async lockHolders(): Promise<string[]> {
    await using client = new EtcdClient({ endpoints: this.machines.map((m) => m.etcdUrl), requestTimeoutMs: 10_000 });
    const { holders } = await new Semaphore({ store: new EtcdLockStore(client) }).status();
    return holders.map((h) => this.machines.find((m) => m.spec.machineId === h.id)?.spec.name ?? h.id);
  }

  /** Keeps what a failed scenario left. */
  async keepEvidence(name: string): Promise<void> {
    await this.cluster.keepEvidence(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
}

/** The text of an environment file of systemd; values without quotes or backslashes. */
function envFile(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key}="${value}"\n`)
    .join("");
}
