import { expect, it } from "vitest";
import { keepsQuorum, type MemberChange, type MemberInfo, Membership } from "./membership.ts";

const member = (id: bigint, fields: Partial<MemberInfo> = {}): MemberInfo => ({
  id,
  name: `m${id}`,
  peerUrls: [`http://h${id}:1`],
  clientUrls: [],
  isLearner: false,
  ...fields,
});

function cluster(...members: MemberInfo[]): Membership {
  const m = new Membership();
  m.load(members, [99n]);
  return m;
}

it.each<[string, Membership, MemberChange, string | undefined]>([
  ["a new member", cluster(member(1n)), { type: "add", member: member(2n) }, undefined],
  ["one that is there", cluster(member(1n)), { type: "add", member: member(1n) }, "ERR_MEMBER_EXISTS"],
  ["one that was removed", cluster(member(1n)), { type: "add", member: member(99n) }, "ERR_MEMBER_NOT_FOUND"],
  [
    "one with another's address",
    cluster(member(1n)),
    { type: "add", member: member(2n, { peerUrls: ["http://h1:1"] }) },
    "ERR_PEER_URL_EXISTS",
  ],
  [
    "a second learner",
    cluster(member(1n), member(2n, { isLearner: true })),
    { type: "add", member: member(3n, { isLearner: true }) },
    "ERR_TOO_MANY_LEARNERS",
  ],
  ["the removal of a stranger", cluster(member(1n)), { type: "remove", id: 5n }, "ERR_MEMBER_NOT_FOUND"],
  ["the removal of one removed", cluster(member(1n)), { type: "remove", id: 99n }, "ERR_MEMBER_NOT_FOUND"],
  ["the promotion of a voter", cluster(member(1n)), { type: "promote", id: 1n }, "ERR_MEMBER_NOT_LEARNER"],
  ["the promotion of a learner", cluster(member(1n, { isLearner: true })), { type: "promote", id: 1n }, undefined],
  ["new addresses", cluster(member(1n)), { type: "update", id: 1n, peerUrls: ["http://x:1"] }, undefined],
  [
    "another's addresses",
    cluster(member(1n), member(2n)),
    { type: "update", id: 1n, peerUrls: ["http://h2:1"] },
    "ERR_PEER_URL_EXISTS",
  ],
])("checks %s", (_title, members, change, code) => {
  let got: string | undefined;
  try {
    members.check(change);
  } catch (error) {
    got = (error as { code: string }).code;
  }
  expect(got).toBe(code);
});

it("applies changes and remembers who was removed", () => {
  const members = cluster(member(1n));
  members.apply({ type: "add", member: member(2n, { isLearner: true, name: "" }) });
  members.apply({ type: "promote", id: 2n });
  members.setAttributes(2n, "two", ["http://c:1"]);
  members.apply({ type: "update", id: 2n, peerUrls: ["http://p:1"] });
  expect(members.get(2n)).toEqual(
    member(2n, { name: "two", clientUrls: ["http://c:1"], peerUrls: ["http://p:1"], isLearner: false }),
  );
  members.apply({ type: "remove", id: 1n });
  expect(members.list().map((m) => m.id)).toEqual([2n]);
  expect(members.isRemoved(1n)).toBe(true);
  expect(members.setAttributes(1n, "x", [])).toBe(false);
});

const idle = (id: bigint) => member(id, { name: "" });

it.each<[string, Membership, MemberChange, boolean]>([
  ["a second to one that runs", cluster(member(1n)), { type: "add", member: idle(2n) }, true],
  ["a third while the second has not started", cluster(member(1n), idle(2n)), { type: "add", member: idle(3n) }, false],
  ["a fourth to three that run", cluster(member(1n), member(2n), member(3n)), { type: "add", member: idle(4n) }, true],
  [
    "a learner at any time",
    cluster(member(1n), idle(2n)),
    { type: "add", member: member(3n, { isLearner: true }) },
    true,
  ],
  ["removing one that runs of two that do not all", cluster(member(1n), idle(2n)), { type: "remove", id: 1n }, false],
  ["removing the one that does not run", cluster(member(1n), idle(2n)), { type: "remove", id: 2n }, true],
  ["removing one of three", cluster(member(1n), member(2n), member(3n)), { type: "remove", id: 2n }, true],
])("keeps the quorum: adding %s", (_title, members, change, want) => expect(keepsQuorum(members, change)).toBe(want));
