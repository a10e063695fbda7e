import { createHash } from "node:crypto";
import type { ClusterId, MemberId } from "@keelson/types";

/**
 * A member's id from where it is reached and the cluster's token (upstream:
 * server/etcdserver/api/membership/member.go computeMemberID).
 * @param addedAtS Unix seconds, for a member added to a running cluster
 */
export function memberIdOf(peerUrls: readonly string[], token: string, addedAtS?: number): MemberId {
  const when = addedAtS === undefined ? "" : String(addedAtS);
  return firstU64(Buffer.from(peerUrls.toSorted().join("") + token + when, "utf8"));
}

/** A new cluster's id from those of its members (upstream: cluster.go genID). */
export function clusterIdOf(members: readonly MemberId[]): ClusterId {
  const bytes = Buffer.alloc(members.length * 8);
  members.toSorted((a, b) => (a < b ? -1 : 1)).forEach((id, i) => bytes.writeBigUInt64BE(id, i * 8));
  return firstU64(bytes);
}

function firstU64(bytes: Buffer): bigint {
  return createHash("sha1").update(bytes).digest().readBigUInt64BE(0);
}
