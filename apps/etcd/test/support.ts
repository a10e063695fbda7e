import { fileURLToPath } from "node:url";
import { freePort, type ProcessHandle, startProcess, type TempDir, tempDir } from "@keelson/testkit";

export const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

/** Runs the program as users do, apart from the variables of whoever runs the tests. */
export function startEtcd(args: readonly string[], env: Record<string, string> = {}, cwd?: string): ProcessHandle {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ETCD_")));
  return startProcess(process.execPath, [MAIN, ...args], {
    name: "etcd",
    env: { ...clean, ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
}

export interface MemberAddresses {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
}

/** A cluster of real processes. */
export class ProcessCluster implements AsyncDisposable {
  readonly dir: TempDir;
  readonly addresses: readonly MemberAddresses[];
  readonly #processes: (ProcessHandle | undefined)[] = [];
  readonly #flags: readonly string[];

  private constructor(dir: TempDir, addresses: readonly MemberAddresses[], flags: readonly string[]) {
    this.dir = dir;
    this.addresses = addresses;
    this.#flags = flags;
  }

  static async start(size: number, flags: readonly string[] = []): Promise<ProcessCluster> {
    const dir = await tempDir("etcd-app");
    const addresses = await Promise.all(
      Array.from({ length: size }, async (_, i) => ({
        name: `m${i + 1}`,
        clientUrl: `http://127.0.0.1:${await freePort()}`,
        peerUrl: `http://127.0.0.1:${await freePort()}`,
      })),
    );
    const cluster = new ProcessCluster(dir, addresses, flags);
    await Promise.all(addresses.map((_, i) => cluster.startMember(i)));
    return cluster;
  }

  get endpoints(): string[] {
    return this.addresses.map((a) => a.clientUrl);
  }

  process(i: number): ProcessHandle {
    const handle = this.#processes[i];
    if (handle === undefined) throw new Error(`member ${i} was not started`);
    return handle;
  }

  flags(i: number): string[] {
    const { name, clientUrl, peerUrl } = this.addresses[i] as MemberAddresses;
    return [
      `--name=${name}`,
      `--data-dir=${this.dir.join(name)}`,
      `--listen-client-urls=${clientUrl}`,
      `--advertise-client-urls=${clientUrl}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=${this.addresses.map((a) => `${a.name}=${a.peerUrl}`).join(",")}`,
      ...this.#flags,
    ];
  }

  /** Starts a member and waits until it serves. */
  async startMember(i: number): Promise<void> {
    const handle = startEtcd(this.flags(i));
    this.#processes[i] = handle;
    await handle.waitForLine(/ready to serve client requests/, 60_000);
  }

  async kill(i: number): Promise<void> {
    this.process(i).kill("SIGKILL");
    await this.process(i).waitForExit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map(async (p) => p?.[Symbol.asyncDispose]()));
    await this.dir[Symbol.asyncDispose]();
  }
}
