import { expect, it } from "vitest";
import { render } from "./view.ts";

it("shows machines and units, and says when there is no quorum", () => {
  const text = render({
    name: "default",
    kind: "process",
    hasQuorum: false,
    machines: [{ name: "m1", state: "running", etcd: "follower", raftTerm: 2, raftIndex: 40, inFleet: undefined }],
    units: [{ unit: "hello.service", desired: "launched", machine: "m1", active: "active", sub: "running" }],
  });
  expect(text).toBe(`cluster default: 1 machines (process), NO QUORUM

MACHINE  STATE    ETCD      TERM  INDEX  FLEET
m1       running  follower  2     40     -

UNIT           DESIRED   MACHINE  ACTIVE  SUB
hello.service  launched  m1       active  running
`);
});
