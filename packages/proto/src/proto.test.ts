import { create, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  AlarmType,
  Auth,
  Cluster,
  CompareSchema,
  InternalRaftRequestSchema,
  KeyValueSchema,
  KV,
  Lease,
  Maintenance,
  PutRequestSchema,
  RangeRequest_SortOrder,
  RangeRequestSchema,
  v3electionpb,
  v3lockpb,
  Watch,
  WatchResponseSchema,
} from "./index.ts";

const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const hex = (b: Uint8Array): string => Buffer.from(b).toString("hex");

describe("wire bytes", () => {
  it.each([
    [
      "Put k=v",
      toBinary(PutRequestSchema, create(PutRequestSchema, { key: text("k"), value: text("v") })),
      "0a016b120176",
    ],
    [
      "KeyValue with every field",
      toBinary(
        KeyValueSchema,
        create(KeyValueSchema, {
          key: text("k"),
          createRevision: 2n,
          modRevision: 3n,
          version: 2n,
          value: text("v"),
          lease: 5n,
        }),
      ),
      "0a016b1002180320022a01763005",
    ],
    [
      "a range with its highest field numbers",
      toBinary(
        RangeRequestSchema,
        create(RangeRequestSchema, {
          key: text("k"),
          sortOrder: RangeRequest_SortOrder.DESCEND,
          maxCreateRevision: 1n,
        }),
      ),
      "0a016b28026801",
    ],
    [
      "a compare whose range_end is field 64",
      toBinary(CompareSchema, create(CompareSchema, { rangeEnd: text("z") })),
      "8204017a",
    ],
    [
      "a stream-wide watch id",
      toBinary(WatchResponseSchema, create(WatchResponseSchema, { watchId: -1n })),
      "10ffffffffffffffffff01",
    ],
    [
      "a raft entry's put, header at 100",
      toBinary(
        InternalRaftRequestSchema,
        create(InternalRaftRequestSchema, { header: { ID: 1n }, put: { key: text("k") } }),
      ),
      "22030a016ba206020801",
    ],
  ])("%s", (_title, bytes, want) => expect(hex(bytes)).toBe(want));
});

it("keeps fields of a newer etcd that it does not know", () => {
  const newer = Buffer.from("0a016bfa0f017a", "hex");
  expect(hex(toBinary(PutRequestSchema, fromBinary(PutRequestSchema, newer)))).toBe("0a016bfa0f017a");
});

it("prints protobuf JSON as the gateway does: 64-bit numbers as text, bytes in base64", () => {
  const kv = create(KeyValueSchema, { key: text("foo"), modRevision: 3n });
  expect(toJson(KeyValueSchema, kv, { useProtoFieldName: true })).toEqual({ key: "Zm9v", mod_revision: "3" });
});

it("names services and enums as upstream does", () => {
  expect(
    [KV, Watch, Lease, Cluster, Maintenance, Auth, v3lockpb.Lock, v3electionpb.Election].map(
      (s) => `${s.typeName} ${s.methods.length}`,
    ),
  ).toEqual([
    "etcdserverpb.KV 6",
    "etcdserverpb.Watch 1",
    "etcdserverpb.Lease 5",
    "etcdserverpb.Cluster 5",
    "etcdserverpb.Maintenance 8",
    "etcdserverpb.Auth 17",
    "v3lockpb.Lock 2",
    "v3electionpb.Election 5",
  ]);
  expect(AlarmType.CORRUPT).toBe(2);
});
