import { mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { RpcServer } from "@keelson/grpc";
import { createLogger, SystemClock, SystemRandom } from "@keelson/log";
import { type KvStore, openLevelStore, StoreOpenError } from "@keelson/storage";
import { CoreError, formatErrorChain, hexId, type Logger } from "@keelson/types";
import { ConfigError, DataDirError, type MemberFailedError } from "./core/errors.ts";
import { type EtcdOptions, resolveConfig } from "./etcd-options.ts";
import { fetchRemoteCluster, membersJson } from "./join.ts";
import { MemoryStore } from "./memory-store.ts";
import { EtcdServer } from "./server.ts";
import { httpHandler } from "./services/http.ts";
import { ServerMetrics } from "./services/server-metrics.ts";
import { etcdServices, intercept, toRpcError } from "./services/services.ts";
import { PeerListener } from "./transport/peer-listener.ts";
import { TcpTransport } from "./transport/tcp-transport.ts";
import { SERVER_VERSION } from "./version.ts";

const FREE_PORT = ["http://127.0.0.1:0"];
const STOP_GRACE_MS = 1_000;
const GRPC_OVERHEAD_BYTES = 512 * 1024;

/**
 * A running etcd member: sockets, disk and clock around an `EtcdServer`.
 *
 * ```ts
 * await using etcd = await Etcd.start({ dataDir });
 * ```
 */
export class Etcd implements AsyncDisposable {
  readonly server: EtcdServer;
  /** Where clients reach this member. */
  readonly clientUrls: readonly string[];
  /** Where other members reach it. */
  readonly peerUrls: readonly string[];
  /** Resolves with the reason when the member has stopped by itself; never otherwise. */
  readonly failed: Promise<MemberFailedError>;
  readonly #cleanup: Cleanup;
  #closing: Promise<void> | undefined;

  private constructor(parts: EtcdParts, cleanup: Cleanup) {
    this.server = parts.server;
    this.clientUrls = parts.clientUrls;
    this.peerUrls = parts.peerUrls;
    this.failed = parts.failed;
    this.#cleanup = cleanup;
  }

  /**
   * Starts a member. A cluster of one is ready when this resolves; a member of more is reachable then, and `ready` tells
   * when it has found the others.
   * @throws ConfigError @throws DataDirError @throws ListenError @throws PeerListenError
   */
  static async start(options: EtcdOptions = {}): Promise<Etcd> {
    const cleanup = new Cleanup();
    try {
      const parts = await assemble(options, cleanup);
      const etcd = new Etcd(parts, cleanup);
      if (parts.server.member.state.confState.voters.length === 1) await etcd.ready;
      return etcd;
    } catch (error) {
      await cleanup.run();
      throw error;
    }
  }

  /** Resolves once this member has a leader and the cluster knows its addresses. */
  get ready(): Promise<void> {
    return this.server.ready;
  }

  /** Stops the member; a leader hands over first, unless told not to. May be called twice. */
  close(options: { transfer?: boolean } = {}): Promise<void> {
    this.#closing ??= this.#close(options.transfer ?? true);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(transfer: boolean): Promise<void> {
    await this.server.handOver(transfer);
    await this.#cleanup.run();
  }
}

interface EtcdParts {
  readonly server: EtcdServer;
  readonly clientUrls: readonly string[];
  readonly peerUrls: readonly string[];
  readonly failed: Promise<MemberFailedError>;
}

/** What to undo, last first. */
class Cleanup {
  readonly #steps: (() => Promise<unknown>)[] = [];

  add(step: () => Promise<unknown>): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    // One that fails must not keep the others from being undone.
    for (const step of this.#steps.splice(0).reverse()) await step().catch(() => undefined);
  }
}

async function assemble(options: EtcdOptions, cleanup: Cleanup): Promise<EtcdParts> {
  const logger = options.logger ?? createLogger({ component: "etcd", level: "error" });
  const clock = new SystemClock();
  // Ports first: one in use must not leave a half-made data directory behind.
  const listener = await PeerListener.listen(options.listenPeerUrls ?? FREE_PORT);
  cleanup.add(() => listener.close());
  const advertised: string[] = [];
  const config = resolveConfig(options, listener.urls, advertised);
  const transport = new TcpTransport({ clock, logger, listener });
  const failed = Promise.withResolvers<MemberFailedError>();
  const server: EtcdServer = new EtcdServer({
    config,
    clock,
    random: new SystemRandom(),
    store: async () => {
      const store = await openStore(options);
      cleanup.add(() => store.close());
      return store;
    },
    transport,
    logger,
    remote: () => fetchRemoteCluster(config),
    onIdentity: (ids) => transport.identify(ids, (id) => server.member.state.members.isRemoved(id)),
    events: {
      onFsync: (ms) => {
        metrics.fsync.observe(ms / 1000);
        metrics.commit.observe(ms / 1000);
      },
      onApplied: (_entries, ms) => metrics.apply.observe(ms / 1000),
      onLeaderChange: (leader) => {
        if (leader !== 0n) metrics.leaderChanges.inc();
      },
      onFailure: failed.resolve,
    },
  });
  const metrics = new ServerMetrics(server);
  const clientUrls = await serveClients(options, server, metrics, logger, cleanup);
  advertised.push(...(options.advertiseClientUrls ?? clientUrls));
  await startServer(server, options);
  cleanup.add(() => server.stop());
  listener.onGet = (path) => peerPage(server, path);
  logger.info("started etcd member", {
    name: config.name,
    "member-id": hexId(server.id),
    "cluster-id": hexId(server.clusterId),
    "data-dir": options.dataDir ?? "",
    "listen-peer-urls": listener.urls,
    "listen-client-urls": clientUrls,
    version: SERVER_VERSION,
  });
  return { server, clientUrls, peerUrls: listener.urls, failed: failed.promise };
}

/** gRPC and plain HTTP on the client addresses, plain HTTP on those for metrics. Returns the client URLs. */
async function serveClients(
  options: EtcdOptions,
  server: EtcdServer,
  metrics: ServerMetrics,
  logger: Logger,
  cleanup: Cleanup,
): Promise<string[]> {
  const storeBytes = () =>
    options.dataDir === undefined ? Promise.resolve(0) : directoryBytes(storeDir(options.dataDir));
  const refresh = async () => {
    metrics.storeBytes.value = await storeBytes();
  };
  const http = httpHandler(server, metrics, refresh);
  const rpc = new RpcServer({
    services: etcdServices(server, { storeBytes }),
    http,
    logger,
    maxRequestBytes: server.config.maxRequestBytes + GRPC_OVERHEAD_BYTES,
    intercept: (method, context) => {
      metrics.onStart(method);
      intercept(server, method, context);
    },
    toRpcError,
    onCall: (method, status) => metrics.onCall(method, status),
  });
  cleanup.add(() => rpc.close(STOP_GRACE_MS));
  const urls: string[] = [];
  for (const url of options.listenClientUrls ?? FREE_PORT) urls.push((await rpc.listen(url)).url);
  if (options.listenMetricsUrls !== undefined) {
    const plain = new RpcServer({ services: [], http, logger });
    cleanup.add(() => plain.close(0));
    for (const url of options.listenMetricsUrls) await plain.listen(url);
  }
  return urls;
}

/** Starts the server; what is wrong with its data is said together with where the data is. */
async function startServer(server: EtcdServer, options: EtcdOptions): Promise<void> {
  try {
    await server.start();
  } catch (error) {
    if (error instanceof ConfigError || error instanceof DataDirError || !(error instanceof CoreError)) throw error;
    throw new DataDirError(
      `the data in ${options.dataDir ?? "memory"} cannot be used (${formatErrorChain(error)}): restore it, or remove this member from the cluster and add it again with an empty data directory`,
      { dataDir: options.dataDir },
      { cause: error },
    );
  }
}

function storeDir(dataDir: string): string {
  return join(dataDir, "member", "db");
}

async function openStore(options: EtcdOptions): Promise<KvStore> {
  if (options.inMemory === true) return new MemoryStore();
  const { dataDir } = options;
  if (dataDir === undefined) throw new ConfigError("dataDir is missing: give a directory, or inMemory: true");
  const dir = storeDir(dataDir);
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new DataDirError(`cannot make the data directory ${dir}`, { dir }, { cause });
  }
  try {
    const store = await openLevelStore(dir);
    return options.unsafeNoFsync === true ? withoutFsync(store) : store;
  } catch (cause) {
    if (!(cause instanceof StoreOpenError)) throw cause;
    throw new DataDirError(cause.message, { dir, reason: cause.reason }, { cause: cause.cause });
  }
}

function withoutFsync(store: KvStore): KvStore {
  return {
    get: (key) => store.get(key),
    write: (ops) => store.write(ops, { sync: false }),
    scan: (scanOptions) => store.scan(scanOptions),
    close: () => store.close(),
    [Symbol.asyncDispose]: () => store.close(),
  };
}

async function directoryBytes(dir: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(dir).catch(() => [])) {
    // A table may be merged away while we look.
    bytes += await stat(join(dir, name)).then(
      (s) => s.size,
      () => 0,
    );
  }
  return bytes;
}

function peerPage(server: EtcdServer, path: string): string | undefined {
  if (path === "/members") return membersJson(server.clusterId, server.member.state.members.list());
  if (path === "/version")
    return `{"etcdserver":"${SERVER_VERSION}","etcdcluster":"${server.member.state.clusterVersion}"}`;
  return undefined;
}
