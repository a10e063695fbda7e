import { create } from "@bufbuild/protobuf";
import { WatchHub } from "@keelson/mvcc";
import { membershippb } from "@keelson/proto";
import type { KvStore } from "@keelson/storage";
import type { Clock, ClusterId, Logger, MemberId, Random } from "@keelson/types";
import { loadMember } from "./boot.ts";
import { ClusterApi } from "./cluster-api.ts";
import { type RemoteCluster, type ServerConfig } from "./config.ts";
import { ConfigError, EtcdError } from "./core/errors.ts";
import { KvApi } from "./kv-api.ts";
import { LeaseApi } from "./lease-api.ts";
import { Member, type MemberEvents } from "./member.ts";
import { decodePeerRequest, encodePeerJson } from "./peer-requests.ts";
import type { PeerTransport } from "./transport/port.ts";
import { CLUSTER_VERSION } from "./version.ts";

/** The world around a server: everything it does not do itself. */
export interface EtcdServerOptions {
  readonly config: ServerConfig;
  readonly clock: Clock;
  readonly random: Random;
  /** Owned by the caller, who closes it after `stop`. A function is called by `start`. */
  readonly store: KvStore | (() => Promise<KvStore>);
  readonly transport: PeerTransport;
  readonly logger: Logger;
  /** Asks the existing cluster who is in it; needed to join one with an empty store. */
  readonly remote?: () => Promise<RemoteCluster>;
  /** Called when the store has told who this member is, before it talks to anybody. */
  readonly onIdentity?: (ids: { clusterId: ClusterId; memberId: MemberId }) => void;
  readonly events?: Omit<MemberEvents, "onChanges" | "onStateReplaced">;
}

const PUBLISH_RETRY_MS = 100;

/**
 * An etcd member without sockets, files or timers of its own: on a simulated clock, network and disk it is deterministic.
 * `Etcd` puts it on real ones and serves gRPC.
 */
export class EtcdServer {
  readonly #options: EtcdServerOptions;
  #member: Member | undefined;
  #hub: WatchHub | undefined;
  #kv: KvApi | undefined;
  #lease: LeaseApi | undefined;
  #cluster: ClusterApi | undefined;
  readonly #ready = Promise.withResolvers<void>();
  #clusterId: ClusterId = 0n;

  constructor(options: EtcdServerOptions) {
    this.#options = options;
    this.#ready.promise.catch(() => undefined); // not everybody waits for it
  }

  /**
   * Loads the member from the store, or makes it, and takes part in the cluster. Does not wait for a leader: see `ready`.
   * @throws DataDirError @throws ConfigError
   */
  async start(): Promise<void> {
    const { config, random, events } = this.#options;
    const store = typeof this.#options.store === "function" ? await this.#options.store() : this.#options.store;
    const remote = this.#options.remote ?? (() => Promise.reject(new ConfigError("no cluster to join was given")));
    const loaded = await loadMember(store, config, remote);
    this.#clusterId = loaded.identity.clusterId;
    this.#options.onIdentity?.(loaded.identity);
    const hub = new WatchHub({ source: loaded.state.mvcc });
    const member = new Member({ ...this.#options, store }, loaded, {
      ...events,
      onChanges: (changes) => hub.notify(changes),
      onStateReplaced: (state) => hub.reset(state.mvcc),
      onFailure: (error) => {
        this.#ready.reject(error);
        events?.onFailure?.(error);
      },
    });
    this.#hub = hub;
    this.#member = member;
    this.#kv = new KvApi(member);
    this.#lease = new LeaseApi(member, random);
    this.#cluster = new ClusterApi(member);
    member.onPeerRequest = (_from, body) => this.#answerPeer(body);
    member.start(loaded.identity.bootstrapPeers);
    void this.#publish(member);
  }

  /** Resolves once the cluster knows this member's name and addresses, hence once there was a leader. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** If this member leads, makes another one lead, or at least tries. */
  async handOver(wanted = true): Promise<void> {
    if (wanted && this.#member !== undefined) await this.#handOver(this.#member);
  }

  async stop(): Promise<void> {
    const member = this.#member;
    if (member === undefined) return;
    await member.stop();
    this.#ready.reject(new EtcdError("ERR_STOPPED"));
  }

  /** Whether the member has been loaded; until then the parts below throw. */
  get isStarted(): boolean {
    return this.#member !== undefined;
  }

  get clusterId(): ClusterId {
    return this.#clusterId;
  }

  get id(): MemberId {
    return this.member.id;
  }

  get member(): Member {
    return started(this.#member);
  }

  get hub(): WatchHub {
    return started(this.#hub);
  }

  get kv(): KvApi {
    return started(this.#kv);
  }

  get lease(): LeaseApi {
    return started(this.#lease);
  }

  get cluster(): ClusterApi {
    return started(this.#cluster);
  }

  get config(): ServerConfig {
    return this.#options.config;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  async #answerPeer(body: Uint8Array): Promise<Uint8Array> {
    const request = decodePeerRequest(body);
    const reply =
      request.op === "promote" ? this.cluster.promoteAsLeader(BigInt(request.id)) : this.lease.asLeader(request);
    return encodePeerJson(await reply);
  }

  /** Tells the cluster who and where this member is, as often as it takes. */
  async #publish(member: Member): Promise<void> {
    const { name, advertiseClientUrls } = this.#options.config;
    const memberAttributes = create(membershippb.AttributesSchema, { name, clientUrls: [...advertiseClientUrls] });
    while (!member.stopped) {
      const known = member.state.members.get(member.id);
      try {
        // A member that joins becomes one when the state has reached it.
        if (known !== undefined && (await member.waitForLeader(member.requestTimeoutMs))) {
          await member.propose({ clusterMemberAttrSet: { memberID: member.id, memberAttributes } });
          if (member.state.clusterVersion === "") await member.propose({ clusterVersionSet: { ver: CLUSTER_VERSION } });
          return this.#ready.resolve();
        }
      } catch (error) {
        if (member.stopped) return;
        this.#options.logger.warn("failed to publish local member to cluster", { error });
      }
      await new Promise<void>((resolve) => void this.#options.clock.after(PUBLISH_RETRY_MS, resolve));
    }
  }

  async #handOver(member: Member): Promise<void> {
    if (!member.isLeader) return;
    const target = longestConnected(member);
    if (target === undefined) return;
    try {
      await member.transferLeadership(target);
      this.#options.logger.info("leadership transferred", { from: member.id, to: target });
    } catch (error) {
      this.#options.logger.warn("leadership transfer failed", { to: target, error });
    }
  }
}

/** The voter that has been connected for longest is the least likely to go next (upstream: longestConnected). */
function longestConnected(member: Member): MemberId | undefined {
  let best: MemberId | undefined;
  let bestMs = -1;
  for (const { id } of member.state.members.voters()) {
    const ms = id === member.id ? undefined : member.transport.connectedForMs(id);
    if (ms === undefined || ms <= bestMs) continue;
    best = id;
    bestMs = ms;
  }
  return best;
}

function started<T>(part: T | undefined): T {
  if (part === undefined) throw new EtcdError("ERR_STOPPED", { reason: "not started" });
  return part;
}
