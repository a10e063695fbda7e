import { Etcd, type EtcdOptions } from "@keelson/etcd";
import { Channel } from "@keelson/grpc";
import { KV, Maintenance, type PutResponse, type RangeResponse } from "@keelson/proto";
import { eventually, freePort, type TempDir, tempDir } from "@keelson/testkit";
import { type Logger, silentLogger } from "@keelson/types";

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (b: Uint8Array | undefined): string => new TextDecoder().decode(b);

/** `host:port` of a URL. */
export const target = (url: string): string => new URL(url).host;

/** A client of one member, as thin as can be. */
export class TestClient implements Disposable {
  readonly channel: Channel;

  constructor(url: string) {
    this.channel = new Channel(target(url));
  }

  put(key: string, value: string, timeoutMs = 10_000): Promise<PutResponse> {
    return this.channel.unary(KV.method.put, { key: bytes(key), value: bytes(value) }, { timeoutMs });
  }

  get(key: string, options: { serializable?: boolean; revision?: bigint } = {}): Promise<RangeResponse> {
    return this.channel.unary(KV.method.range, { key: bytes(key), ...options }, { timeoutMs: 10_000 });
  }

  async value(key: string): Promise<string | undefined> {
    const { kvs } = await this.get(key);
    return kvs[0] === undefined ? undefined : text(kvs[0].value);
  }

  async hash(revision: bigint): Promise<number> {
    return (await this.channel.unary(Maintenance.method.hashKV, { revision }, { timeoutMs: 10_000 })).hash;
  }

  [Symbol.dispose](): void {
    this.channel[Symbol.dispose]();
  }
}

/** Members of one cluster in this process, on real sockets and disks. */
export class TestCluster implements AsyncDisposable {
  readonly members: (Etcd | undefined)[] = [];
  readonly #options: EtcdOptions[];
  readonly #dir: TempDir;
  readonly #clients: TestClient[] = [];

  private constructor(dir: TempDir, options: EtcdOptions[]) {
    this.#dir = dir;
    this.#options = options;
  }

  static async start(
    size: number,
    options: Partial<EtcdOptions> = {},
    logger: Logger = silentLogger,
  ): Promise<TestCluster> {
    const dir = await tempDir("etcd");
    const names = Array.from({ length: size }, (_, i) => `m${i + 1}`);
    const peers = await Promise.all(names.map(async () => `http://127.0.0.1:${await freePort()}`));
    const initialCluster = Object.fromEntries(names.map((name, i) => [name, peers[i] as string]));
    const all = names.map(
      (name, i): EtcdOptions => ({
        heartbeatMs: 50,
        electionMs: 500,
        ...options,
        name,
        dataDir: dir.join(name),
        listenPeerUrls: [peers[i] as string],
        initialCluster,
        logger: logger.child({ member: name }),
      }),
    );
    const cluster = new TestCluster(dir, all);
    try {
      await Promise.all(names.map((_, i) => cluster.startMember(i)));
      await Promise.all(cluster.running.map((m) => m.ready));
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  get running(): Etcd[] {
    return this.members.filter((m) => m !== undefined);
  }

  get endpoints(): string[] {
    return this.running.map((m) => target(m.clientUrls[0] as string));
  }

  async startMember(i: number): Promise<Etcd> {
    const member = await Etcd.start(this.#options[i] as EtcdOptions);
    this.members[i] = member;
    return member;
  }

  async stopMember(i: number, transfer = false): Promise<void> {
    await this.members[i]?.close({ transfer });
    this.members[i] = undefined;
  }

  dataDir(i: number): string {
    return this.#options[i]?.dataDir as string;
  }

  client(i: number): TestClient {
    const client = new TestClient(this.members[i]?.clientUrls[0] as string);
    this.#clients.push(client);
    return client;
  }

  leaderIndex(): Promise<number> {
    return eventually(() => {
      const i = this.members.findIndex((m) => m?.server.member.isLeader === true);
      return i < 0 ? undefined : { i };
    }).then(({ i }) => i);
  }

  /** Waits until all running members have the same state, and returns its revision. */
  async converged(timeoutMs = 20_000): Promise<number> {
    const { revision } = await eventually(
      () => {
        const hashes = this.running.map((m) => m.server.member.state.mvcc.stateHash());
        const first = hashes[0];
        const same = hashes.every((h) => h.revision === first?.revision && h.hash === first?.hash);
        return same ? first : undefined;
      },
      { timeoutMs, what: "all members have the same state" },
    );
    return revision;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client[Symbol.dispose]();
    await Promise.all(this.running.map((m) => m.close({ transfer: false })));
    await this.#dir[Symbol.asyncDispose]();
  }
}
