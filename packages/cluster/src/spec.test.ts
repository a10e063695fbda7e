import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkSpecs, etcdMemberId, makeSpecs } from "./spec.ts";

describe("machine specs", () => {
  it("are the same for the same cluster name, and pass their own check", () => {
    const specs = makeSpecs("demo", 3);
    expect(specs).toEqual(makeSpecs("demo", 3));
    expect(specs.map((spec) => spec.name)).toEqual(["m1", "m2", "m3"]);
    expect(specs.map((spec) => spec.metadata["disk"])).toEqual(["ssd", "hdd", "ssd"]);
    expect(() => checkSpecs(specs)).not.toThrow();
  });

  it.each([
    ["no machine", 0, "cannot make a cluster of 0 machines"],
    ["half a machine", 1.5, "cannot make a cluster of 1.5 machines"],
    ["too many", 65, "give a whole number from 1 to 64"],
  ])("refuses %s", (_title, count, text) => expect(() => makeSpecs("demo", count)).toThrow(text));

  it("refuses two machines of one name or id", () => {
    const [a] = makeSpecs("demo", 1);
    if (a === undefined) throw new Error("no spec");
    expect(() => checkSpecs([a, a])).toThrow("two machines are called m1");
    expect(() => checkSpecs([a, { ...a, name: "m2" }])).toThrow(`two machines are called ${a.machineId}`);
  });

  it("never accepts a name that could leave its directory", () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        const [spec] = makeSpecs("demo", 1);
        if (spec === undefined || /^[a-z0-9-]+$/.test(name)) return;
        expect(() => checkSpecs([{ ...spec, name }])).toThrow("is not 1 to 32");
      }),
    );
  });

  // Shown by `etcdctl member list` of Debian's etcd 3.5 started with these very URLs.
  it("computes member ids as etcd does", () => {
    expect(etcdMemberId(["http://localhost:2380"], "etcd-cluster").toString(16)).toBe("8e9e05c52164694d");
  });
});
