import { AlarmType, Event_EventType, type KeyValue, type Member, type ResponseOp } from "@keelson/proto";
import { duration, hex16, hexBytes, humanBytes } from "../go.ts";
import type { Printer, StatusRow } from "./printer.ts";

export interface SimpleOptions {
  readonly hex: boolean;
  readonly valueOnly: boolean;
}

/** Types out of binary text are passed on as bytes, so that a value of any bytes comes out as it is stored. */
export function simplePrinter(options: SimpleOptions): Printer {
  const raw = (b: Uint8Array) => (options.hex ? hexBytes(b) : Buffer.from(b).toString("latin1"));
  const line = (b: Uint8Array) => `${raw(b)}\n`;
  const pair = (kv: KeyValue) => (options.valueOnly ? "" : line(kv.key)) + line(kv.value);
  const bytes = (latin1: string) => Buffer.from(latin1, "latin1");
  const responseOp = ({ response }: ResponseOp): string => {
    if (response.case === "responseRange") return response.value.kvs.map(pair).join("");
    if (response.case === "responsePut")
      return `OK\n${response.value.prevKv === undefined ? "" : pair(response.value.prevKv)}`;
    if (response.case === "responseDeleteRange")
      return `${response.value.deleted}\n${response.value.prevKvs.map(pair).join("")}`;
    if (response.case === "responseTxn") return txnText(response.value.succeeded, response.value.responses);
    return "";
  };
  const txnText = (succeeded: boolean, responses: readonly ResponseOp[]): string =>
    `${succeeded ? "SUCCESS" : "FAILURE"}\n${responses.map((r) => `\n${responseOp(r)}`).join("")}`;
  const memberLine = (id: bigint, verb: string, clusterId: bigint | undefined, preposition: string) =>
    `Member ${hex16(id).padStart(16)} ${verb} ${preposition} cluster ${hex16(clusterId ?? 0n)}\n`;
  return {
    get: (r) => bytes(r.kvs.map(pair).join("")),
    put: (r) => bytes(`OK\n${r.prevKv === undefined ? "" : pair(r.prevKv)}`),
    del: (r) => bytes(`${r.deleted}\n${r.prevKvs.map(pair).join("")}`),
    txn: (r) => bytes(txnText(r.succeeded, r.responses)),
    watch: (r) =>
      bytes(
        r.events
          .map((e) => {
            const type = e.type === Event_EventType.DELETE ? "DELETE" : "PUT";
            return `${type}\n${e.prevKv === undefined ? "" : pair(e.prevKv)}${e.kv === undefined ? "" : pair(e.kv)}`;
          })
          .join(""),
      ),
    grant: (r) => `lease ${hex16(r.ID)} granted with TTL(${r.TTL}s)\n`,
    revoke: (id) => `lease ${hex16(id)} revoked\n`,
    keepAlive: (r) => `lease ${hex16(r.ID)} keepalived with TTL(${r.TTL})\n`,
    timeToLive: (r, keys) => {
      if (r.grantedTTL === 0n && r.TTL === -1n) return `lease ${hex16(r.ID)} already expired\n`;
      const names = r.keys.map((k) => Buffer.from(k).toString("latin1")).join(" ");
      const attached = keys ? `, attached keys([${names}])` : "";
      return bytes(`lease ${hex16(r.ID)} granted with TTL(${r.grantedTTL}s), remaining(${r.TTL}s)${attached}\n`);
    },
    leases: (r) => `found ${r.leases.length} leases\n${r.leases.map((l) => `${hex16(l.ID)}\n`).join("")}`,
    memberAdd: (r) => {
      const kind = r.member?.isLearner === true ? "added as learner" : "added";
      return memberLine(r.member?.ID ?? 0n, kind, r.header?.clusterId, "to");
    },
    memberRemove: (id, r) => memberLine(id, "removed", r.header?.clusterId, "from"),
    memberUpdate: (id, r) => memberLine(id, "updated", r.header?.clusterId, "in"),
    memberPromote: (id, r) => memberLine(id, "promoted", r.header?.clusterId, "in"),
    memberList: (r) => r.members.map((m) => `${memberCells(m).join(", ")}\n`).join(""),
    health: (rows) =>
      rows
        .filter((h) => h.error === "")
        .map((h) => `${h.endpoint} is healthy: successfully committed proposal: took = ${duration(h.tookMs)}\n`)
        .join(""),
    status: (rows) => rows.map((row) => `${statusCells(row).join(", ")}\n`).join(""),
    hashKv: (rows) => rows.map((row) => `${row.endpoint}, ${row.response.hash}\n`).join(""),
    moveLeader: (leader, target) => `Leadership transferred from ${plainHex(leader)} to ${plainHex(target)}\n`,
    alarm: (r) => r.alarms.map((a) => `memberID:${a.memberID} alarm:${alarmName(a.alarm)} \n`).join(""),
  };
}

export function alarmName(alarm: number): string {
  return Object.entries(AlarmType).find(([, value]) => value === alarm)?.[0] ?? String(alarm);
}

function plainHex(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}

/** id, status, name, peer and client addresses, learner. */
export function memberCells(m: Member): string[] {
  return [
    plainHex(m.ID),
    m.name === "" ? "unstarted" : "started",
    m.name,
    m.peerURLs.join(","),
    m.clientURLs.join(","),
    String(m.isLearner),
  ];
}

/** The columns of `endpoint status`. */
export function statusCells({ endpoint, response: r }: StatusRow): string[] {
  return [
    endpoint,
    plainHex(r.header?.memberId ?? 0n),
    r.version,
    humanBytes(Number(r.dbSize)),
    String(r.leader === r.header?.memberId),
    String(r.isLearner),
    String(r.raftTerm),
    String(r.raftIndex),
    String(r.raftAppliedIndex),
    r.errors.join(", "),
  ];
}
