import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { MemoryBackend, MvccStore } from "@keelson/mvcc";
import { InternalRaftRequestSchema, type LeaseGrantResponse, type PutResponse, type TxnResponse } from "@keelson/proto";
import { EMPTY_CONF_STATE } from "@keelson/raft";
import { expect, it } from "vitest";
import { range } from "./apply.ts";
import { KIND } from "./keys.ts";
import { Membership } from "./membership.ts";
import { StateMachine } from "./state-machine.ts";

const b = (text: string) => new TextEncoder().encode(text);

function newState(): StateMachine {
  const backend = new MemoryBackend();
  const members = new Membership();
  members.load([{ id: 1n, name: "", peerUrls: ["http://a:1"], clientUrls: [], isLearner: false }], []);
  return new StateMachine({ clusterId: 7n, memberId: 1n }, backend, {
    applied: { index: 1, term: 1 },
    confState: { ...EMPTY_CONF_STATE, voters: [1n] },
    mvcc: new MvccStore({ backend, prefix: KIND.mvcc }),
    attachments: [],
    leases: [],
    members,
    clusterVersion: "",
    alarms: [],
  });
}

class Driver {
  readonly state = newState();
  #index = 1;

  apply(init: MessageInitShape<typeof InternalRaftRequestSchema>) {
    return this.state.apply(create(InternalRaftRequestSchema, init), { index: ++this.#index, term: 2 }, 0);
  }

  keys(): string[] {
    const response = range(
      this.state,
      { key: b("\0"), rangeEnd: b("\0"), limit: 0n, revision: 0n, sortOrder: 0, sortTarget: 0 } as Parameters<
        typeof range
      >[1],
      2,
    );
    return response.kvs.map((kv) => new TextDecoder().decode(kv.key));
  }
}

it("a put makes revision 2, and every header says where it is", () => {
  const d = new Driver();
  const { response, changes } = d.apply({ put: { key: b("a"), value: b("1") } });
  expect((response as PutResponse).header).toMatchObject({ clusterId: 7n, memberId: 1n, revision: 2n, raftTerm: 2n });
  expect(changes?.events).toHaveLength(1);
  expect(d.state.applied).toEqual({ index: 2, term: 2 });
});

it("a refusal changes nothing but the position", () => {
  const d = new Driver();
  expect(d.apply({ put: { key: b("a"), lease: 5n } }).error?.code).toBe("ERR_LEASE_NOT_FOUND");
  expect(d.apply({ compaction: { revision: 9n } }).error?.code).toBe("ERR_FUTURE_REV");
  expect(d.apply({ leaseRevoke: { ID: 5n } }).error?.code).toBe("ERR_LEASE_NOT_FOUND");
  expect(d.apply({ put: { key: b("a"), ignoreValue: true } }).error?.code).toBe("ERR_KEY_NOT_FOUND");
  expect(d.state.mvcc.revision).toBe(1);
  expect(d.state.applied.index).toBe(5);
});

it("a lease takes its keys along, in one revision, and only those it still has", () => {
  const d = new Driver();
  const grant = d.apply({ leaseGrant: { ID: 5n, TTL: 10n } }).response as LeaseGrantResponse;
  expect(grant).toMatchObject({ ID: 5n, TTL: 10n, error: "" });
  d.apply({ leaseGrant: { ID: 6n, TTL: 10n } });
  expect(d.apply({ leaseGrant: { ID: 5n, TTL: 10n } }).error?.code).toBe("ERR_LEASE_EXISTS");
  for (const key of ["a", "b", "c", "d"]) d.apply({ put: { key: b(key), lease: 5n } });
  d.apply({ put: { key: b("b"), lease: 6n } }); // to another lease
  d.apply({ put: { key: b("c") } }); // to none
  d.apply({ deleteRange: { key: b("d") } });
  d.apply({ put: { key: b("e"), lease: 5n } });
  d.apply({ put: { key: b("e"), value: b("x"), ignoreLease: true } }); // stays
  const before = d.state.mvcc.revision;
  const { changes } = d.apply({ leaseRevoke: { ID: 5n } });
  expect(changes?.revision).toBe(before + 1);
  expect(changes?.events.map((e) => new TextDecoder().decode(e.kv.key))).toEqual(["a", "e"]);
  expect(d.keys()).toEqual(["b", "c"]);
  expect(d.state.lessor.ids()).toEqual([6n]);
});

it("a txn compares, runs one branch and shows its own writes; what is nested has its own result", () => {
  const d = new Driver();
  d.apply({ put: { key: b("a"), value: b("1") } });
  const { response } = d.apply({
    txn: {
      compare: [{ key: b("a"), target: 3, result: 0, targetUnion: { case: "value", value: b("1") } }],
      success: [
        { request: { case: "requestPut", value: { key: b("a"), value: b("2"), prevKv: true } } },
        { request: { case: "requestRange", value: { key: b("a") } } },
        {
          request: {
            case: "requestTxn",
            value: { success: [{ request: { case: "requestDeleteRange", value: { key: b("x") } } }] },
          },
        },
      ],
    },
  });
  const { succeeded, responses, header } = response as TxnResponse;
  expect(succeeded).toBe(true);
  expect(header?.revision).toBe(3n);
  expect(responses.map((r) => r.response.case)).toEqual(["responsePut", "responseRange", "responseTxn"]);
  // As upstream's: the header of a nested put says the revision, that of a nested txn nothing.
  expect(responses.map((r) => r.response.value?.header?.revision)).toEqual([3n, 3n, 0n]);
  const read = responses[1]?.response;
  expect(read?.case === "responseRange" && new TextDecoder().decode(read.value.kvs[0]?.value)).toBe("2");
});

it.each<[string, number, number, boolean]>([
  ["a result that does not exist holds", 0, 9, true],
  ["a target that does not exist equals", 9, 0, true],
  ["and does not differ", 9, 3, false],
  ["nor is greater", 9, 1, false],
  ["a result that does not exist, of a value that does not exist", 3, 9, false],
])("a compare as upstream does it: %s", (_title, target, result, want) => {
  const d = new Driver();
  const compare = [{ key: b("a"), target: target as 0, result: result as 0 }];
  expect((d.apply({ txn: { compare } }).response as TxnResponse).succeeded).toBe(want);
});

it("NOSPACE stops what grows and lets the rest go on, until it is disarmed", () => {
  const d = new Driver();
  d.apply({ put: { key: b("a") } });
  d.apply({ alarm: { action: 1, memberID: 1n, alarm: 1 } });
  const grow = { success: [{ request: { case: "requestPut" as const, value: { key: b("b") } } }] };
  expect(d.apply({ put: { key: b("b") } }).error?.code).toBe("ERR_NO_SPACE");
  expect(d.apply({ txn: grow }).error?.code).toBe("ERR_NO_SPACE");
  expect(d.apply({ leaseGrant: { ID: 1n, TTL: 5n } }).error?.code).toBe("ERR_NO_SPACE");
  expect(d.apply({ deleteRange: { key: b("a") } }).error).toBeUndefined();
  expect(d.apply({ alarm: { action: 2, memberID: 1n, alarm: 1 } }).response).toMatchObject({
    alarms: [{ memberID: 1n }],
  });
  expect(d.apply({ put: { key: b("b") } }).error).toBeUndefined();
});

it("a member's name and addresses, and the cluster's version, are part of the state", () => {
  const d = new Driver();
  d.apply({ clusterMemberAttrSet: { memberID: 1n, memberAttributes: { name: "one", clientUrls: ["http://c:1"] } } });
  d.apply({ clusterVersionSet: { ver: "3.7.0" } });
  expect(d.state.members.get(1n)).toMatchObject({ name: "one", clientUrls: ["http://c:1"] });
  expect(d.state.clusterVersion).toBe("3.7.0");
});

it("the same entries give the same state", () => {
  const script: MessageInitShape<typeof InternalRaftRequestSchema>[] = [
    { put: { key: b("a"), value: b("1") } },
    { leaseGrant: { ID: 3n, TTL: 9n } },
    { put: { key: b("b"), value: b("2"), lease: 3n } },
    { deleteRange: { key: b("a") } },
    { compaction: { revision: 3n } },
    { leaseRevoke: { ID: 3n } },
  ];
  const [x, y] = [new Driver(), new Driver()];
  for (const request of script) {
    x.apply(request);
    y.apply(request);
  }
  expect(x.state.mvcc.stateHash()).toEqual(y.state.mvcc.stateHash());
});
