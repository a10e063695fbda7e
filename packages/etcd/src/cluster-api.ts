import type { MemberId } from "@keelson/types";
import { EtcdError } from "./core/errors.ts";
import { keepsQuorum, type MemberChange, type MemberInfo } from "./core/membership.ts";
import { memberIdOf } from "./ids.ts";
import type { Member } from "./member.ts";
import { encodeMemberChange } from "./member-change.ts";
import { decodePeerReply, encodePeerJson, type PeerReply } from "./peer-requests.ts";

/** How much of the leader's log a learner must have to become a voter (upstream: readyPercentThreshold). */
const READY_SHARE = 0.9;
const PROMOTE_TIMEOUT_MS = 5_000;

/** The membership as operators see and change it. All methods throw EtcdError. */
export class ClusterApi {
  readonly #member: Member;

  constructor(member: Member) {
    this.#member = member;
  }

  async list(linearizable: boolean): Promise<MemberInfo[]> {
    if (linearizable) await this.#member.readIndex();
    return this.#member.state.members.list();
  }

  async add(peerUrls: readonly string[], isLearner: boolean): Promise<{ member: MemberInfo; members: MemberInfo[] }> {
    if (peerUrls.length === 0 || !peerUrls.every(isPeerUrl)) throw new EtcdError("ERR_BAD_URLS", { peerUrls });
    const nowS = Math.floor(this.#member.clock.wallMs() / 1000);
    const member: MemberInfo = {
      id: memberIdOf(peerUrls, "", nowS),
      name: "",
      peerUrls: peerUrls.toSorted(),
      clientUrls: [],
      isLearner,
    };
    return { member, members: await this.#change({ type: "add", member }) };
  }

  remove(id: MemberId): Promise<MemberInfo[]> {
    return this.#change({ type: "remove", id });
  }

  async update(id: MemberId, peerUrls: readonly string[]): Promise<MemberInfo[]> {
    // First whether there is such a member, as upstream; upstream would then take any text for a URL.
    if (this.#member.state.members.get(id) === undefined) throw new EtcdError("ERR_MEMBER_NOT_FOUND", { id });
    if (peerUrls.length === 0 || !peerUrls.every(isPeerUrl)) throw new EtcdError("ERR_BAD_URLS", { peerUrls });
    return this.#change({ type: "update", id, peerUrls: peerUrls.toSorted() });
  }

  /** Makes a learner a voter, once it has caught up; only the leader knows whether it has. */
  async promote(id: MemberId): Promise<MemberInfo[]> {
    if (this.#member.isLeader) {
      const reply = await this.promoteAsLeader(id);
      decodePeerReply(encodePeerJson(reply));
    } else {
      const { leader, transport } = this.#member;
      if (leader === 0n) throw new EtcdError("ERR_NO_LEADER");
      const request = encodePeerJson({ op: "promote", id: String(id) });
      decodePeerReply(await transport.request(leader, request, PROMOTE_TIMEOUT_MS));
    }
    return this.list(true);
  }

  async promoteAsLeader(id: MemberId): Promise<PeerReply> {
    const change: MemberChange = { type: "promote", id };
    try {
      this.#member.state.members.check(change);
      const { progress, commit } = { progress: this.#member.progress(), commit: this.#member.status().commit };
      const match = progress.get(id)?.match ?? 0;
      if (match < commit * READY_SHARE) throw new EtcdError("ERR_LEARNER_NOT_READY");
      await this.#change(change);
      return { ok: true };
    } catch (error) {
      if (error instanceof EtcdError) return { ok: false, code: error.code };
      throw error;
    }
  }

  async #change(change: MemberChange): Promise<MemberInfo[]> {
    const { members } = this.#member.state;
    members.check(change); // early, for a quick answer; decided when it is applied
    if (this.#member.config.strictReconfigCheck && !keepsQuorum(members, change)) {
      throw new EtcdError(change.type === "add" ? "ERR_MEMBER_NOT_ENOUGH_STARTED" : "ERR_UNHEALTHY");
    }
    await this.#member.proposeConfChange((id) => encodeMemberChange(id, change));
    return this.#member.state.members.list();
  }
}

/** Whether it is `http(s)://host:port` without a path. */
export function isPeerUrl(url: string): boolean {
  return /^https?:\/\/(\[[0-9a-fA-F:.]+\]|[^:/[\]@\s]+):\d{1,5}$/.test(url);
}
