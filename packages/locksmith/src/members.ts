import type { ClusterMember, EtcdClient } from "@keelson/etcd-client";
import { hexId } from "@keelson/types";
import type { MemberHealth } from "./core/quorum.ts";
import type { QuorumSource } from "./locker.ts";
import { StoreUnavailableError } from "./store/port.ts";

/** Options of {@link EtcdMembers}. */
export interface EtcdMembersOptions {
  /** Asks the cluster who its members are. */
  readonly client: EtcdClient;
  /** A client of one member alone, closed after use. */
  readonly connect: (endpoints: readonly string[]) => EtcdClient;
  /** The member's name on this machine, if there is one. */
  readonly selfName?: string | undefined;
  /** Where the member of this machine listens, if there is one; asked first. Such as `http://127.0.0.1:2379`. */
  readonly selfEndpoint?: string | undefined;
}

const PROBE_MS = 3_000;

/** The members of an etcd cluster, each asked whether it answers a linearizable read. */
export class EtcdMembers implements QuorumSource {
  readonly #options: EtcdMembersOptions;
  /** A member that is just being restarted is ours all the same. */
  #lastSelf: string | undefined;

  constructor(options: EtcdMembersOptions) {
    this.#options = options;
  }

  async look(signal?: AbortSignal): Promise<{ members: MemberHealth[]; self: string | undefined }> {
    const [list, self] = await Promise.all([this.#list(signal), this.#selfId(signal)]);
    const members = await Promise.all(list.map((member) => this.#probe(member, signal)));
    const byName = members.find(({ name }) => name !== "" && name === this.#options.selfName);
    this.#lastSelf = self ?? byName?.id ?? this.#lastSelf;
    return { members, self: this.#lastSelf };
  }

  async #list(signal?: AbortSignal): Promise<readonly ClusterMember[]> {
    try {
      return await this.#options.client.cluster.memberList({ signal });
    } catch (cause) {
      signal?.throwIfAborted();
      throw new StoreUnavailableError("etcd does not say who its members are", false, cause);
    }
  }

  async #probe(member: ClusterMember, signal?: AbortSignal): Promise<MemberHealth> {
    const id = hexId(member.id).padStart(16, "0");
    return {
      id,
      name: member.name,
      isVoter: !member.isLearner,
      isHealthy: await this.#isHealthy(member.clientUrls, signal),
    };
  }

  async #isHealthy(urls: readonly string[], signal?: AbortSignal): Promise<boolean> {
    if (urls.length === 0) return false;
    using client = this.#client(urls);
    const answers = await Promise.all(
      urls.map((url) => client.etcd.cluster.health(url, { timeoutMs: PROBE_MS, signal })),
    );
    return answers.some(({ healthy }) => healthy);
  }

  async #selfId(signal?: AbortSignal): Promise<string | undefined> {
    const { selfEndpoint } = this.#options;
    if (selfEndpoint === undefined) return undefined;
    using client = this.#client([selfEndpoint]);
    const limits = { timeoutMs: PROBE_MS, signal };
    const status = await client.etcd.cluster.status(selfEndpoint, limits).catch(() => undefined);
    return status === undefined ? undefined : hexId(status.memberId).padStart(16, "0");
  }

  #client(urls: readonly string[]): { readonly etcd: EtcdClient } & Disposable {
    const etcd = this.#options.connect(urls);
    return { etcd, [Symbol.dispose]: () => etcd.close() };
  }
}
