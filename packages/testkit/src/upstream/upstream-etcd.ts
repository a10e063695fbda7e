import { ProgramError } from "../errors.ts";
import { eventually } from "../eventually.ts";
import { freePort } from "../free-port.ts";
import { type ProcessHandle, type RunResult, runProcess, startProcess } from "../process-handle.ts";
import { type TempDir, tempDir } from "../temp-dir.ts";
import { type DebianSuite, type UpstreamPackage, upstreamPackage } from "./upstream-package.ts";

/** The versions of etcd that Debian has. */
export type EtcdVersion = "3.4" | "3.5";

const SUITES: Record<EtcdVersion, DebianSuite> = { "3.4": "bookworm", "3.5": "trixie" };

/** Debian's etcd server of a version, or why it cannot be had. */
export function upstreamEtcdServer(version: EtcdVersion): Promise<UpstreamPackage> {
  return upstreamPackage("etcd-server", SUITES[version]);
}

/** Debian's etcdctl of a version, or why it cannot be had. */
export function upstreamEtcdctl(version: EtcdVersion): Promise<UpstreamPackage> {
  return upstreamPackage("etcd-client", SUITES[version]);
}

/** Runs Debian's etcdctl with its v3 API against some endpoints. Throws {@link ProgramError} when it cannot be had. */
export async function runEtcdctl(
  version: EtcdVersion,
  endpoints: readonly string[],
  args: readonly string[],
  options: { readonly input?: string; readonly timeoutMs?: number } = {},
): Promise<RunResult> {
  const client = required(await upstreamEtcdctl(version));
  const env = { ...client.env, ETCDCTL_API: "3" };
  return await runProcess(client.binary("etcdctl"), [`--endpoints=${endpoints.join(",")}`, ...args], {
    env,
    ...options,
  });
}

/** Options of {@link startUpstreamEtcd}. */
export interface UpstreamEtcdOptions {
  readonly version: EtcdVersion;
  readonly members: 1 | 3;
  /** More flags for each member, such as `--snapshot-count=100`. */
  readonly flags?: readonly string[];
}

/** A member of a running upstream cluster. */
export interface UpstreamMember {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  /** The running process; another one after `restart`. */
  readonly process: ProcessHandle;
  /** Ends it, at once by default, and waits for its end. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on its data and waits until it is healthy. */
  restart(): Promise<void>;
}

/** A running upstream cluster. Disposing it kills the members and removes their data. */
export interface UpstreamEtcd extends AsyncDisposable {
  readonly endpoints: readonly string[];
  readonly members: readonly UpstreamMember[];
}

/** Starts Debian's etcd on free ports of 127.0.0.1 and waits until every member is healthy. */
export async function startUpstreamEtcd(options: UpstreamEtcdOptions): Promise<UpstreamEtcd> {
  const server = required(await upstreamEtcdServer(options.version));
  const dir = await tempDir("etcd");
  const members = await Promise.all(
    Array.from({ length: options.members }, async (_, i) => ({
      name: `m${i + 1}`,
      clientUrl: `http://127.0.0.1:${await freePort()}`,
      peerUrl: `http://127.0.0.1:${await freePort()}`,
    })),
  );
  const cluster = members.map((m) => `${m.name}=${m.peerUrl}`).join(",");
  const running = members.map((m) => new Member(server, m, [...flagsOf(m, cluster, dir), ...(options.flags ?? [])]));
  try {
    await Promise.all(running.map((member) => member.waitForHealth()));
  } catch (error) {
    await stop(running, dir);
    throw error;
  }
  return {
    endpoints: members.map((m) => m.clientUrl),
    members: running,
    [Symbol.asyncDispose]: () => stop(running, dir),
  };
}

interface Addresses {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
}

class Member implements UpstreamMember {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  readonly #start: () => ProcessHandle;
  #process: ProcessHandle;

  constructor(server: UpstreamPackage & { ok: true }, addresses: Addresses, flags: readonly string[]) {
    this.name = addresses.name;
    this.clientUrl = addresses.clientUrl;
    this.peerUrl = addresses.peerUrl;
    this.#start = () => startProcess(server.binary("etcd"), flags, { name: `etcd ${this.name}`, env: server.env });
    this.#process = this.#start();
  }

  get process(): ProcessHandle {
    return this.#process;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#process.killTree(signal);
    await this.#process.waitForExit();
  }

  async restart(): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
    this.#process = this.#start();
    await this.waitForHealth();
  }

  async waitForHealth(): Promise<void> {
    const isHealthy = async () => {
      if (this.#process.exit !== undefined) return "ended" as const;
      const response = await fetch(`${this.clientUrl}/health`, { signal: AbortSignal.timeout(5_000) });
      return (await response.text()).includes('"true"') && ("healthy" as const);
    };
    const result = await eventually(isHealthy, { timeoutMs: 60_000, what: `the health of ${this.#process.name}` });
    if (result === "ended") throw new ProgramError(`${this.#process.name} ended:\n${this.#process.output()}`);
  }
}

function flagsOf(member: Addresses, cluster: string, dir: TempDir): string[] {
  return [
    `--name=${member.name}`,
    `--data-dir=${dir.join(member.name)}`,
    `--listen-client-urls=${member.clientUrl}`,
    `--advertise-client-urls=${member.clientUrl}`,
    `--listen-peer-urls=${member.peerUrl}`,
    `--initial-advertise-peer-urls=${member.peerUrl}`,
    `--initial-cluster=${cluster}`,
    "--initial-cluster-state=new",
  ];
}

async function stop(members: readonly Member[], dir: TempDir): Promise<void> {
  await Promise.all(members.map((member) => member.process[Symbol.asyncDispose]()));
  await dir[Symbol.asyncDispose]();
}

function required(found: UpstreamPackage): UpstreamPackage & { ok: true } {
  if (!found.ok) throw new ProgramError(`upstream program not available: ${found.reason}`);
  return found;
}
