import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import {
  AlarmRequest_AlarmAction,
  AlarmType,
  Cluster,
  KV,
  Maintenance,
  type Member,
  type StatusResponse,
} from "@keelson/proto";
import type { Clock, MemberId } from "@keelson/types";
import type { Caller } from "./caller.ts";
import { revisionOf } from "./convert.ts";
import { EtcdError, toEtcdError } from "./errors.ts";
import type { Endpoint } from "./pool.ts";
import type { CallLimits, ClusterMember, EndpointHealth, MemberStatus } from "./types.ts";

/** Members and maintenance. Calls that are about one member take its endpoint. */
export class ClusterClient {
  readonly #caller: Caller;
  readonly #clock: Clock;

  constructor(caller: Caller, clock: Clock) {
    this.#caller = caller;
    this.#clock = clock;
  }

  /** `linearizable` (the default) asks the leader. */
  async memberList(options: CallLimits & { readonly linearizable?: boolean } = {}): Promise<readonly ClusterMember[]> {
    const request = { linearizable: options.linearizable !== false };
    return (await this.#caller.unary("read", Cluster.method.memberList, request, options)).members.map(toMember);
  }

  /** Adds a member; returns it and the whole list. */
  async memberAdd(
    peerUrls: readonly string[],
    options: CallLimits & { readonly isLearner?: boolean } = {},
  ): Promise<{ member: ClusterMember; members: readonly ClusterMember[] }> {
    const request = { peerURLs: [...peerUrls], isLearner: options.isLearner === true };
    const reply = await this.#caller.unary("write", Cluster.method.memberAdd, request, options);
    if (reply.member === undefined) throw new EtcdError("ERR_RPC", "the reply to MemberAdd names no member");
    return { member: toMember(reply.member), members: reply.members.map(toMember) };
  }

  async memberRemove(id: MemberId, limits: CallLimits = {}): Promise<readonly ClusterMember[]> {
    const reply = await this.#caller.unary("write", Cluster.method.memberRemove, { ID: id }, limits);
    return reply.members.map(toMember);
  }

  async memberUpdate(id: MemberId, peerUrls: readonly string[], limits: CallLimits = {}): Promise<void> {
    const request = { ID: id, peerURLs: [...peerUrls] };
    await this.#caller.unary("write", Cluster.method.memberUpdate, request, limits);
  }

  async memberPromote(id: MemberId, limits: CallLimits = {}): Promise<readonly ClusterMember[]> {
    const reply = await this.#caller.unary("write", Cluster.method.memberPromote, { ID: id }, limits);
    return reply.members.map(toMember);
  }

  /** The endpoints this client knows, as given. */
  get endpoints(): readonly string[] {
    return this.#caller.pool.all.map((e) => e.url);
  }

  /** What one member says of itself; works without a leader. */
  async status(endpoint: string, limits: CallLimits = {}): Promise<MemberStatus> {
    return toStatus(endpoint, await this.at(endpoint, Maintenance.method.status, {}, limits));
  }

  /** Whether a member answers a linearizable read, as `etcdctl endpoint health` asks it. Never rejects. */
  async health(endpoint: string, limits: CallLimits = {}): Promise<EndpointHealth> {
    const startMs = this.#clock.monotonicMs();
    const took = () => this.#clock.monotonicMs() - startMs;
    try {
      await this.at(endpoint, KV.method.range, { key: new TextEncoder().encode("health") }, limits);
      return { endpoint, healthy: true, tookMs: took(), error: undefined };
    } catch (error) {
      // A refusal by permissions went through consensus all the same.
      const denied = error instanceof EtcdError && error.code === "ERR_PERMISSION_DENIED";
      return { endpoint, healthy: denied, tookMs: took(), error: denied ? undefined : (error as Error) };
    }
  }

  async moveLeader(endpoint: string, target: MemberId, limits: CallLimits = {}): Promise<void> {
    await this.at(endpoint, Maintenance.method.moveLeader, { targetID: target }, limits);
  }

  async defragment(endpoint: string, limits: CallLimits = {}): Promise<void> {
    await this.at(endpoint, Maintenance.method.defragment, {}, limits);
  }

  /** Alarms that are on, by member. */
  async alarms(
    limits: CallLimits = {},
  ): Promise<readonly { memberId: MemberId; alarm: "NONE" | "NOSPACE" | "CORRUPT" }[]> {
    const request = { action: AlarmRequest_AlarmAction.GET, alarm: AlarmType.NONE };
    const reply = await this.#caller.unary("read", Maintenance.method.alarm, request, limits);
    const name = (alarm: number) =>
      alarm === AlarmType.NOSPACE ? "NOSPACE" : alarm === AlarmType.CORRUPT ? "CORRUPT" : "NONE";
    return reply.alarms.map((a) => ({ memberId: a.memberID, alarm: name(a.alarm) }));
  }

  /** One unary call to one endpoint, without failover. @throws {EtcdError} */
  async at<I extends DescMessage, O extends DescMessage>(
    url: string,
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    limits: CallLimits = {},
  ): Promise<MessageShape<O>> {
    const endpoint = this.endpoint(url);
    try {
      const metadata = await this.#caller.metadata(endpoint);
      return await endpoint.channel.unary(method, request, {
        metadata,
        timeoutMs: limits.timeoutMs ?? 5_000,
        ...(limits.signal === undefined ? {} : { signal: limits.signal }),
      });
    } catch (error) {
      throw toEtcdError(error, { endpoint: url });
    }
  }

  /** The connection to a known endpoint. @throws {EtcdError} ERR_INVALID_ENDPOINT */
  endpoint(url: string): Endpoint {
    const found = this.#caller.pool.all.find((e) => e.url === url);
    if (found === undefined) {
      throw new EtcdError("ERR_INVALID_ENDPOINT", `${url} is none of this client's endpoints`, { details: { url } });
    }
    return found;
  }
}

function toMember(m: Member): ClusterMember {
  return { id: m.ID, name: m.name, peerUrls: m.peerURLs, clientUrls: m.clientURLs, isLearner: m.isLearner };
}

function toStatus(endpoint: string, r: StatusResponse): MemberStatus {
  return {
    endpoint,
    memberId: r.header?.memberId ?? 0n,
    clusterId: r.header?.clusterId ?? 0n,
    version: r.version,
    dbSize: Number(r.dbSize),
    dbSizeInUse: Number(r.dbSizeInUse),
    leader: r.leader,
    revision: revisionOf(r.header),
    raftTerm: Number(r.raftTerm),
    raftIndex: Number(r.raftIndex),
    raftAppliedIndex: Number(r.raftAppliedIndex),
    isLearner: r.isLearner,
    errors: r.errors,
  };
}
