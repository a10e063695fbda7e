import { Event_EventType, type KeyValue, type ResponseHeader, type ResponseOp } from "@keelson/proto";
import { duration, quote } from "../go.ts";
import type { Printer } from "./printer.ts";
import { alarmName } from "./simple.ts";

/** One `"Name" : value` a line. */
export function fieldsPrinter(): Printer {
  const id = (n: bigint) => String(n);
  const leaseId = (n: bigint) => String(n);
  const f = (name: string, value: unknown) => `"${name}" : ${String(value)}\n`;
  const header = (h: ResponseHeader | undefined) =>
    f("ClusterID", id(h?.clusterId ?? 0n)) +
    f("MemberID", id(h?.memberId ?? 0n)) +
    f("Revision", h?.revision ?? 0n) +
    f("RaftTerm", h?.raftTerm ?? 0n);
  const kv = (prefix: string, k: KeyValue) =>
    f(`${prefix}Key`, quote(k.key)) +
    f(`${prefix}CreateRevision`, k.createRevision) +
    f(`${prefix}ModRevision`, k.modRevision) +
    f(`${prefix}Version`, k.version) +
    f(`${prefix}Value`, quote(k.value)) +
    f(`${prefix}Lease`, leaseId(k.lease));
  const prev = (k: KeyValue | undefined) => (k === undefined ? "" : kv("Prev", k));
  const responseOp = ({ response }: ResponseOp): string => {
    if (response.case === "responseRange") return asText(printer.get(response.value));
    if (response.case === "responsePut") return asText(printer.put(response.value));
    if (response.case === "responseDeleteRange") return asText(printer.del(response.value));
    return response.case === "responseTxn" ? asText(printer.txn(response.value)) : "";
  };
  const printer: Printer = {
    get: (r) => header(r.header) + r.kvs.map((k) => kv("", k)).join("") + f("More", r.more) + f("Count", r.count),
    put: (r) => header(r.header) + prev(r.prevKv),
    del: (r) => header(r.header) + f("Deleted", r.deleted) + r.prevKvs.map((k) => kv("Prev", k)).join(""),
    txn: (r) => header(r.header) + f("Succeeded", r.succeeded) + r.responses.map(responseOp).join(""),
    watch: (r) =>
      header(r.header) +
      r.events
        .map(
          (e) =>
            f("Type", e.type === Event_EventType.DELETE ? "DELETE" : "PUT") +
            prev(e.prevKv) +
            (e.kv === undefined ? "" : kv("", e.kv)),
        )
        .join(""),
    grant: (r) => header(r.header) + f("ID", leaseId(r.ID)) + f("TTL", r.TTL),
    revoke: (_id, r) => header(r.header),
    keepAlive: (r) => header(r.header) + f("ID", leaseId(r.ID)) + f("TTL", r.TTL),
    timeToLive: (r) =>
      header(r.header) +
      f("ID", leaseId(r.ID)) +
      f("TTL", r.TTL) +
      f("GrantedTTL", r.grantedTTL) +
      r.keys.map((k) => f("Key", quote(k))).join(""),
    leases: (r) => header(r.header) + r.leases.map((l) => f("ID", leaseId(l.ID))).join(""),
    memberAdd: (r) => header(r.header),
    memberRemove: (_id, r) => header(r.header),
    memberUpdate: (_id, r) => header(r.header),
    memberPromote: (_id, r) => header(r.header),
    memberList: (r) =>
      header(r.header) +
      r.members
        .map(
          (m) =>
            f("ID", id(m.ID)) +
            f("Name", quote(m.name)) +
            m.peerURLs.map((u) => f("PeerURL", quote(u))).join("") +
            m.clientURLs.map((u) => f("ClientURL", quote(u))).join("") +
            `${f("IsLearner", m.isLearner)}\n`,
        )
        .join(""),
    health: (rows) =>
      rows
        .map(
          (h) =>
            f("Endpoint", quote(h.endpoint)) +
            f("Health", h.healthy) +
            f("Took", duration(h.tookMs)) +
            `${f("Error", h.error)}\n`,
        )
        .join(""),
    status: (rows) =>
      rows
        .map(
          ({ endpoint, response: r }) =>
            header(r.header) +
            f("Version", quote(r.version)) +
            f("DBSize", r.dbSize) +
            f("Leader", r.leader) +
            f("IsLearner", r.isLearner) +
            f("RaftIndex", r.raftIndex) +
            f("RaftTerm", r.raftTerm) +
            f("RaftAppliedIndex", r.raftAppliedIndex) +
            f("Errors", `[${r.errors.join(" ")}]`) +
            `${f("Endpoint", quote(endpoint))}\n`,
        )
        .join(""),
    hashKv: (rows) =>
      rows
        .map(
          ({ endpoint, response: r }) => `${header(r.header)}${f("Endpoint", quote(endpoint))}${f("Hash", r.hash)}\n`,
        )
        .join(""),
    moveLeader: (_leader, _target, r) => header(r.header),
    alarm: (r) =>
      header(r.header) +
      r.alarms.map((a) => `${f("MemberID", id(a.memberID))}${f("AlarmType", alarmName(a.alarm))}\n`).join(""),
  };
  return printer;
}

function asText(value: string | Uint8Array): string {
  return typeof value === "string" ? value : new TextDecoder().decode(value);
}
