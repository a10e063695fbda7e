import fc from "fast-check";
import { expect, it } from "vitest";
import { changeLeaving, encodeLeaving, type Leaving, type MemberHealth, mayGoDown, parseLeaving } from "./quorum.ts";

const member = (id: string, isHealthy = true, isVoter = true): MemberHealth => ({ id, name: id, isHealthy, isVoter });
const leaving = (...ids: string[]): Leaving => new Map(ids.map((id) => [id, { holder: `h-${id}`, group: "" }]));
const view = (
  members: MemberHealth[],
  self: string | undefined,
  gone: Leaving = leaving(),
  unknownHolders: string[] = [],
) => ({
  members,
  self,
  leaving: gone,
  unknownHolders,
});
const three = [member("a"), member("b"), member("c")];

it.each([
  ["three well: one may go", view(three, "a"), "yes"],
  ["no member: always", view([member("a", false), member("b", false), member("c")], undefined), "yes"],
  ["a learner: always", view([...three.slice(0, 2), member("l", true, false)], "l"), "yes"],
  ["a cluster of one: always, it could never be updated", view([member("a")], "a"), "yes"],
  [
    "one ill already",
    view([member("a"), member("b", false), member("c")], "a"),
    "of 3 members 1 would be sure to stay, 2 must (b is not healthy)",
  ],
  [
    "one that holds a slot already",
    view(three, "a", leaving("b")),
    "of 3 members 1 would be sure to stay, 2 must (b holds a slot)",
  ],
  ["its own slot does not count against it", view(three, "a", leaving("a")), "yes"],
  ["the ill one itself may go: nothing is lost", view([member("a", false), member("b"), member("c")], "a"), "yes"],
  [
    "a holder nobody knows",
    view(three, "a", leaving(), ["x"]),
    "of 3 members 1 would be sure to stay, 2 must (holder x may be a member)",
  ],
  ["five: two may be away, but not three", view([...three, member("d"), member("e")], "a", leaving("b")), "yes"],
  [
    "five, two away",
    view([...three, member("d"), member("e", false)], "a", leaving("b")),
    "of 5 members 2 would be sure to stay, 3 must (e is not healthy, b holds a slot)",
  ],
  ["two: never", view([member("a"), member("b")], "a"), "of 2 members 1 would be sure to stay, 2 must"],
  ["two, told to: when the other is well", { ...view([member("a"), member("b")], "a"), mayLoseQuorum: true }, "yes"],
  [
    "two, told to, the other ill",
    { ...view([member("a"), member("b", false)], "a"), mayLoseQuorum: true },
    "of 2 members 0 would be sure to stay, 2 must (b is not healthy)",
  ],
])("%s", (_title, state, want) => {
  const verdict = mayGoDown(state);
  expect(verdict.ok ? "yes" : verdict.reason.replace("etcd would lose its majority: ", "")).toBe(want);
});

it("whoever goes by permission, one after the other, the majority stays", () => {
  const health = fc.array(fc.boolean(), { minLength: 3, maxLength: 7 });
  fc.assert(
    fc.property(health, fc.array(fc.nat(6)), (wells, order) => {
      const members = wells.map((isHealthy, i) => member(`m${i}`, isHealthy));
      const majority = Math.floor(members.length / 2) + 1;
      const gone = new Set<string>();
      for (const index of order) {
        const self = members[index % members.length];
        if (self === undefined || gone.has(self.id) || !mayGoDown(view(members, self.id, leaving(...gone))).ok)
          continue;
        gone.add(self.id);
        expect(members.filter((m) => m.isHealthy && !gone.has(m.id)).length).toBeGreaterThanOrEqual(majority);
      }
    }),
  );
});

it("who is leaving is kept by holder and group", () => {
  const one = changeLeaving(new Map(), { id: "h1", group: "" }, "m1");
  const two = changeLeaving(one, { id: "h1", group: "g" }, "m2");
  expect(encodeLeaving(two)).toBe('{"m1":{"holder":"h1","group":""},"m2":{"holder":"h1","group":"g"}}');
  expect(parseLeaving(encodeLeaving(two))).toEqual(two);
  expect(changeLeaving(two, { id: "h1", group: "g" }, "m2")).toBe(two);
  expect(changeLeaving(two, { id: "h2", group: "" }, undefined)).toBe(two);
  expect(encodeLeaving(changeLeaving(two, { id: "h1", group: "" }, undefined))).toBe(
    '{"m2":{"holder":"h1","group":"g"}}',
  );
  expect(() => parseLeaving("{")).toThrow("the list of leaving etcd members cannot be read");
});
