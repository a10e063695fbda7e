import { type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import {
  AlarmResponseSchema,
  DeleteRangeResponseSchema,
  EventSchema,
  HashKVResponseSchema,
  LeaseRevokeResponseSchema,
  MemberAddResponseSchema,
  type MemberListResponse,
  MemberListResponseSchema,
  MemberPromoteResponseSchema,
  MemberRemoveResponseSchema,
  MemberUpdateResponseSchema,
  MoveLeaderResponseSchema,
  PutResponseSchema,
  RangeResponseSchema,
  type ResponseHeader,
  ResponseHeaderSchema,
  StatusResponseSchema,
  TxnResponseSchema,
} from "@keelson/proto";
import { duration } from "../go.ts";
import type { Printer } from "./printer.ts";

/**
 * JSON as Go's encoding/json prints the generated structs: fields by their proto names in the order of declaration, zero
 * values left out, bytes in base64, 64-bit numbers as numbers. A oneof is an object by its Go name.
 */
export function goJson(desc: DescMessage, message: Message): string {
  return messageJson(reflect(desc, message));
}

function messageJson(m: ReflectMessage): string {
  const parts: string[] = [];
  const oneofsSeen = new Set<string>();
  for (const field of m.desc.fields) {
    if (field.oneof !== undefined) {
      const active = m.oneofCase(field.oneof);
      if (active === undefined || oneofsSeen.has(field.oneof.name)) continue;
      oneofsSeen.add(field.oneof.name);
      const goName = field.oneof.name.replace(/(^|_)(.)/g, (_all, _u, c: string) => c.toUpperCase());
      parts.push(`${JSON.stringify(goName)}:{${member(active, fieldJson(m, active))}}`);
    } else if (m.isSet(field)) parts.push(member(field, fieldJson(m, field)));
  }
  return `{${parts.join(",")}}`;
}

function member(field: DescField, json: string): string {
  return `${JSON.stringify(field.name)}:${json}`;
}

function fieldJson(m: ReflectMessage, field: DescField): string {
  if (field.fieldKind === "message") return messageJson(m.get(field));
  if (field.fieldKind === "enum") return String(m.get(field));
  if (field.fieldKind === "scalar") return scalarJson(field.scalar, m.get(field));
  if (field.fieldKind !== "list") return "null";
  const items = Array.from(m.get(field) as Iterable<unknown>, (item) => {
    if (field.listKind === "message") return messageJson(item as ReflectMessage);
    return field.listKind === "scalar" ? scalarJson(field.scalar, item) : String(item);
  });
  return `[${items.join(",")}]`;
}

function scalarJson(type: ScalarType, value: unknown): string {
  if (type === ScalarType.BYTES) return `"${base64(value as Uint8Array)}"`;
  if (type === ScalarType.STRING) return goString(String(value));
  return String(value);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

/** encoding/json also escapes what could end a script element. */
function goString(value: string): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** clientv3's own lease structs embed the header. */
function flatHeader(h: ResponseHeader | undefined, rest: string): string {
  const inner = h === undefined ? "" : goJson(ResponseHeaderSchema, h).slice(1, -1);
  return `{${inner}${inner === "" ? "" : ","}${rest}}\n`;
}

export function jsonPrinter(hex: boolean): Printer {
  const of = (desc: DescMessage) => (message: Message) => `${goJson(desc, message)}\n`;
  return {
    get: of(RangeResponseSchema),
    put: of(PutResponseSchema),
    del: of(DeleteRangeResponseSchema),
    txn: of(TxnResponseSchema),
    watch: (r) => {
      const header = r.header === undefined ? "{}" : goJson(ResponseHeaderSchema, r.header);
      const events = r.events.length === 0 ? "null" : `[${r.events.map((e) => goJson(EventSchema, e)).join(",")}]`;
      const rest = `"CompactRevision":${r.compactRevision},"Canceled":${r.canceled},"Created":${r.created}`;
      return `{"Header":${header},"Events":${events},${rest}}\n`;
    },
    grant: (r) => flatHeader(r.header, `"ID":${r.ID},"TTL":${r.TTL},"Error":${goString(r.error)}`),
    revoke: (_id, r) => `${goJson(LeaseRevokeResponseSchema, r)}\n`,
    keepAlive: (r) => flatHeader(r.header, `"ID":${r.ID},"TTL":${r.TTL}`),
    timeToLive: (r) => {
      const keys = r.keys.length === 0 ? "null" : `[${r.keys.map((k) => `"${base64(k)}"`).join(",")}]`;
      return flatHeader(r.header, `"id":${r.ID},"ttl":${r.TTL},"granted-ttl":${r.grantedTTL},"keys":${keys}`);
    },
    leases: (r) => flatHeader(r.header, `"leases":[${r.leases.map((l) => `{"id":${l.ID}}`).join(",")}]`),
    memberAdd: of(MemberAddResponseSchema),
    memberRemove: (_id, r) => `${goJson(MemberRemoveResponseSchema, r)}\n`,
    memberUpdate: (_id, r) => `${goJson(MemberUpdateResponseSchema, r)}\n`,
    memberPromote: (_id, r) => `${goJson(MemberPromoteResponseSchema, r)}\n`,
    memberList: (r) => (hex ? hexMembers(r) : `${goJson(MemberListResponseSchema, r)}\n`),
    health: (rows) => {
      const row = rows.map((h) => {
        const error = h.error === "" ? "" : `,"error":${goString(h.error)}`;
        return `{"endpoint":${goString(h.endpoint)},"health":${h.healthy},"took":${goString(duration(h.tookMs))}${error}}`;
      });
      return `[${row.join(",")}]\n`;
    },
    status: (rows) =>
      list(rows, (r) => `{"Endpoint":${goString(r.endpoint)},"Status":${goJson(StatusResponseSchema, r.response)}}`),
    hashKv: (rows) =>
      list(rows, (r) => `{"Endpoint":${goString(r.endpoint)},"HashKV":${goJson(HashKVResponseSchema, r.response)}}`),
    moveLeader: (_leader, _target, r) => `${goJson(MoveLeaderResponseSchema, r)}\n`,
    alarm: of(AlarmResponseSchema),
  };
}

function list<T>(rows: readonly T[], row: (r: T) => string): string {
  return `[${rows.map(row).join(",")}]\n`;
}

/** `member list -w json --hex`: ids as hex text. The odd `clientURLS` is upstream's. */
function hexMembers(r: MemberListResponse): string {
  const id = (n: bigint) => `"${BigInt.asUintN(64, n).toString(16)}"`;
  const urls = (name: string, values: readonly string[]) =>
    values.length === 0 ? "" : `,"${name}":[${values.map(goString).join(",")}]`;
  const members = r.members.map(
    (m) =>
      `{"ID":${id(m.ID)}${m.name === "" ? "" : `,"name":${goString(m.name)}`}${urls("peerURLs", m.peerURLs)}` +
      `${urls("clientURLS", m.clientURLs)}}`,
  );
  const header = `{"cluster_id":${id(r.header?.clusterId ?? 0n)},"member_id":${id(r.header?.memberId ?? 0n)},"raft_term":${r.header?.raftTerm ?? 0n}}`;
  return `{"header":${header},"members":[${members.join(",")}]}\n`;
}
