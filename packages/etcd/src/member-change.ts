import { type AnyConfChange, asV2, type ConfChange } from "@keelson/raft";
import type { MemberChange, MemberInfo } from "./core/membership.ts";
import { decodeMember, encodeMember } from "./core/records.ts";

const PROMOTE = 1;
const PLAIN = 0;

/** A change of the membership as the Raft change that carries it. `id` comes back when it is applied. */
export function encodeMemberChange(id: bigint, change: MemberChange): ConfChange {
  switch (change.type) {
    case "add": {
      const type = change.member.isLearner ? "ConfChangeAddLearnerNode" : "ConfChangeAddNode";
      return { id, type, nodeId: change.member.id, context: context(PLAIN, change.member) };
    }
    case "promote":
      return { id, type: "ConfChangeAddNode", nodeId: change.id, context: new Uint8Array([PROMOTE]) };
    case "remove":
      return { id, type: "ConfChangeRemoveNode", nodeId: change.id, context: new Uint8Array(0) };
    case "update": {
      const member = { id: change.id, name: "", clientUrls: [], isLearner: false, peerUrls: change.peerUrls };
      return { id, type: "ConfChangeUpdateNode", nodeId: change.id, context: context(PLAIN, member) };
    }
  }
}

/** The inverse. `change` is undefined for a Raft change that is about no member, such as leaving a joint configuration. */
export function decodeMemberChange(cc: AnyConfChange): { id: bigint; change: MemberChange | undefined } {
  const id = "id" in cc ? cc.id : 0n;
  const single = asV2(cc).changes[0];
  if (single === undefined) return { id, change: undefined };
  const body = cc.context.subarray(1);
  switch (single.type) {
    case "ConfChangeAddNode":
      if (cc.context[0] === PROMOTE) return { id, change: { type: "promote", id: single.nodeId } };
      return { id, change: { type: "add", member: decodeMember(body) } };
    case "ConfChangeAddLearnerNode":
      return { id, change: { type: "add", member: decodeMember(body) } };
    case "ConfChangeRemoveNode":
      return { id, change: { type: "remove", id: single.nodeId } };
    case "ConfChangeUpdateNode":
      return { id, change: { type: "update", id: single.nodeId, peerUrls: decodeMember(body).peerUrls } };
  }
}

function context(kind: number, member: MemberInfo): Uint8Array {
  const body = encodeMember(member);
  const out = new Uint8Array(1 + body.length);
  out[0] = kind;
  out.set(body, 1);
  return out;
}
