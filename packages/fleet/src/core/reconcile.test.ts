import { describe, expect, it } from "vitest";
import type { ClusterView, Job, Machine } from "./model.ts";
import { decide, explain, globalsOn, reconcile } from "./reconcile.ts";
import { apply, job, machine, show } from "./testing/fixtures.ts";

const A = machine("a");
const B = machine("b");
const C = machine("c");
const at = (target: string) => ({ target });

function plan(jobs: readonly Job[], machines: readonly Machine[], isSettled = true): string[] {
  return show(reconcile({ jobs, machines, isSettled }));
}

describe("one unit", () => {
  it.each<[string, Job, Parameters<typeof decide>[1], string]>([
    ["no machines at all", job("x.service"), [], "wait: zero agents available"],
    [
      "the emptier machine wins",
      job("x.service"),
      [
        { ...A, units: [job("y.service")] },
        { ...B, units: [] },
      ],
      "schedule: b",
    ],
    [
      "a tie breaks by machine id",
      job("x.service"),
      [
        { ...B, units: [] },
        { ...A, units: [] },
      ],
      "schedule: a",
    ],
    [
      "MachineID= pins",
      job("x.service", ["MachineID=b"]),
      [
        { ...A, units: [] },
        { ...B, units: [] },
      ],
      "schedule: b",
    ],
    [
      "MachineID= takes the short id",
      job("x.service", ["MachineID=0123abcd"]),
      [{ ...machine("0123abcd0123abcd0123abcd0123abcd"), units: [] }],
      "schedule: 0123abcd0123abcd0123abcd0123abcd",
    ],
    [
      "a machine that is not the one",
      job("x.service", ["MachineID=zz"]),
      [{ ...A, units: [] }],
      'wait: no agents able to run job: a: agent ID "a" does not match required "zz"',
    ],
    [
      "MachineMetadata= of one key is OR",
      job("x.service", ["MachineMetadata=disk=ssd", "MachineMetadata=disk=nvme"]),
      [
        { ...A, units: [] },
        { ...machine("b", { disk: "nvme" }), units: [] },
      ],
      "schedule: b",
    ],
    [
      "MachineMetadata= of several keys is AND",
      job("x.service", ['MachineMetadata="disk=ssd" "rack=1"']),
      [{ ...machine("a", { disk: "ssd" }), units: [] }],
      "wait: no agents able to run job: a: local Machine metadata insufficient",
    ],
    [
      "a specifier in MachineMetadata= chooses the machine",
      job("x@m7.service", ["MachineMetadata=hostname=%i"]),
      [
        { ...machine("a", { hostname: "m1" }), units: [] },
        { ...machine("b", { hostname: "m7" }), units: [] },
      ],
      "schedule: b",
    ],
    [
      "its own Conflicts= keep it away",
      job("x.service", ["Conflicts=db*.service"]),
      [{ ...A, units: [job("db1.service")] }],
      "wait: no agents able to run job: a: found conflict with locally-scheduled Unit(db1.service)",
    ],
    [
      "the other's Conflicts= keep it away as well",
      job("x.service"),
      [{ ...A, units: [job("db.service", ["Conflicts=x.*"])] }],
      "wait: no agents able to run job: a: found conflict with locally-scheduled Unit(db.service)",
    ],
    [
      "a glob that matches the unit itself does not count",
      job("w@1.service", ["Conflicts=w@*.service"]),
      [{ ...A, units: [] }],
      "schedule: a",
    ],
    [
      "a missing peer",
      job("x.service", ["MachineOf=p.service"]),
      [{ ...A, units: [] }],
      "wait: no agents able to run job: a: required peer Unit(p.service) is not scheduled locally",
    ],
    [
      "MachineOf= takes no globs",
      job("x.service", ["MachineOf=p*.service"]),
      [{ ...A, units: [job("p1.service")] }],
      "wait: no agents able to run job: a: required peer Unit(p*.service) is not scheduled locally",
    ],
    [
      "MachineOf= beats load",
      job("x.service", ["MachineOf=p.service"]),
      [
        { ...A, units: [job("p.service")] },
        { ...B, units: [] },
      ],
      "schedule: a",
    ],
    [
      "a malformed glob matches nothing",
      job("x.service", ["Conflicts=[a"]),
      [{ ...A, units: [job("a.service")] }],
      "schedule: a",
    ],
  ])("%s", (_title, one, machines, want) => {
    const choice = decide(one, machines);
    expect(choice.action === "wait" ? `wait: ${choice.reason}` : `schedule: ${choice.machineId}`).toBe(want);
  });

  it("names at most five machines in a reason", () => {
    const machines = Array.from({ length: 9 }, (_, i) => machine(`m${i}`));
    const { waiting } = reconcile({ jobs: [job("x.service", ["MachineMetadata=a=b"])], machines });
    expect(waiting.get("x.service")).toMatch(/^no agents able to run job: m0: .*m4: [^;]*; and 4 more machines$/);
  });
});

describe("A3.3 desired states", () => {
  it.each(["loaded", "launched"] as const)("%s is scheduled", (desired) => {
    expect(plan([job("x.service", [], { desired })], [A])).toEqual(["x.service: - -> a"]);
  });

  it("inactive is not scheduled, and is unscheduled", () => {
    const jobs = [
      job("x.service", [], { desired: "inactive" }),
      job("y.service", [], { desired: "inactive", ...at("a") }),
    ];
    const { decisions } = reconcile({ jobs, machines: [A] });
    expect(decisions).toEqual([{ unit: "y.service", from: "a", reason: "target state inactive" }]);
  });
});

describe("A7 functional cases", () => {
  it("move-min: a lost machine's unit goes to the free machine and nothing else moves", () => {
    const c = (n: number, target: string) => job(`c@${n}.service`, ["Conflicts=c@*.service"], at(target));
    const jobs = [c(1, "a"), c(2, "b"), c(3, "c")];
    const { decisions } = reconcile({ jobs, machines: [A, C, machine("d")] });
    expect(decisions).toEqual([{ unit: "c@2.service", from: "b", to: "d", reason: "target Machine(b) went away" }]);
  });

  it("a machine that may only be unreachable keeps its units", () => {
    expect(plan([job("x.service", [], at("b"))], [A], false)).toEqual([]);
  });

  it("a returned machine gets nothing back", () => {
    expect(plan([job("x.service", [], at("b")), job("y.service", [], at("b"))], [A, B])).toEqual([]);
  });

  it("peers: pairs are placed together and move together", () => {
    const pairs = [0, 1, 2].flatMap((i) => [
      job(`ping.${i}.service`),
      job(`pong.${i}.service`, [`MachineOf=ping.${i}.service`]),
    ]);
    const view: ClusterView = { jobs: pairs, machines: [A, B, C] };
    const placed = apply(view, reconcile(view));
    const where = (v: ClusterView, name: string) => v.jobs.find((one) => one.name === name)?.target;
    for (const i of [0, 1, 2]) expect(where(placed, `pong.${i}.service`)).toBe(where(placed, `ping.${i}.service`));
    expect(new Set(placed.jobs.map((one) => one.target))).toEqual(new Set(["a", "b", "c"]));
    const lost = { ...placed, machines: [A, C] };
    const moved = apply(lost, reconcile(lost));
    expect(where(moved, "ping.1.service")).not.toBe("b");
    expect(where(moved, "pong.1.service")).toBe(where(moved, "ping.1.service"));
    expect(reconcile(lost).decisions.map((d) => d.unit)).toEqual(["ping.1.service", "pong.1.service"]);
  });

  it("peers: a pair goes where both can run, not where the first alone would", () => {
    const jobs = [job("ping.service"), job("pong.service", ["MachineOf=ping.service", "MachineMetadata=gpu=yes"])];
    expect(plan(jobs, [A, machine("b", { gpu: "yes" })])).toEqual(["ping.service: - -> b", "pong.service: - -> b"]);
  });

  it("peers: a ring of peers is placed as one", () => {
    const jobs = [job("x.service", ["MachineOf=y.service"]), job("y.service", ["MachineOf=x.service"])];
    expect(plan(jobs, [A])).toEqual(["x.service: - -> a", "y.service: - -> a"]);
  });

  it("peers: one that cannot run does not hold up the unit it needs", () => {
    const jobs = [job("ping.service"), job("pong.service", ["MachineOf=ping.service", "MachineMetadata=gpu=yes"])];
    expect(plan(jobs, [A])).toEqual(["ping.service: - -> a", "pong.service waits"]);
  });

  it("peers: a dependant goes when its peer is stopped", () => {
    const jobs = [
      job("ping.service", [], { desired: "inactive", ...at("a") }),
      job("pong.service", ["MachineOf=ping.service"], at("a")),
    ];
    expect(plan(jobs, [A])).toEqual(["ping.service: a -> -", "pong.service: a -> -", "pong.service waits"]);
  });

  it("conflicts: five on three machines, two wait", () => {
    const jobs = [0, 1, 2, 3, 4].map((i) => job(`conflict.${i}.service`, ["Conflicts=conflict.*.service"]));
    expect(plan(jobs, [A, B, C])).toEqual([
      "conflict.0.service: - -> a",
      "conflict.1.service: - -> b",
      "conflict.2.service: - -> c",
      "conflict.3.service waits",
      "conflict.4.service waits",
    ]);
  });

  it("conflict-1way: the newcomer waits, and starts when the other is destroyed", () => {
    const first = job("conflicts-with-hello.service", ["Conflicts=hello.service"], at("a"));
    const hello = job("hello.service");
    expect(plan([first, hello], [A])).toEqual(["hello.service waits"]);
    expect(plan([hello], [A])).toEqual(["hello.service: - -> a"]);
  });

  it.each([[["Conflicts=x.service y.service"]], [["Conflicts=x.service", "Conflicts=y.service"]]])(
    "conflict-multi: %j",
    (lines) => {
      const jobs = [job("x.service", [], at("a")), job("y.service", [], at("b")), job("z.service", lines)];
      expect(plan(jobs, [A, B])).toEqual(["z.service waits"]);
      expect(plan(jobs, [A, B, C])).toEqual(["z.service: - -> c"]);
    },
  );

  it("conflict that arises later: the older unit stays", () => {
    const jobs = [job("old.service", [], at("a")), job("new.service", ["Conflicts=old.service"], at("a"))];
    expect(plan(jobs, [A, B])).toEqual(["new.service: a -> b"]);
  });

  it("replaces: the newcomer drives the other to another machine", () => {
    const jobs = [
      job("replace.0.service", [], at("a")),
      job("replace.1.service", [], at("b")),
      job("replace.2.service", ["MachineOf=replace.1.service"], at("b")),
      job("replace-kick0.service", ["Replaces=replace.0.service"]),
    ];
    expect(plan(jobs, [A, B])).toEqual(["replace-kick0.service: - -> a", "replace.0.service: a -> b"]);
  });

  it("replaces: with nowhere to go the other waits and is told why", () => {
    const view: ClusterView = {
      jobs: [job("old.service", [], at("a")), job("new.service", ["Replaces=old.*"])],
      machines: [A],
    };
    const result = reconcile(view);
    expect(show(result)).toEqual(["new.service: - -> a", "old.service: a -> -", "old.service waits"]);
    expect(result.waiting.get("old.service")).toContain("found replace with locally-scheduled Unit(new.service)");
    expect(reconcile(apply(view, result)).decisions).toEqual([]);
  });

  it.each([2, 3])("replaces-circ: a ring of %i is ignored and nothing loops", (n) => {
    const ring = Array.from({ length: n }, (_, i) => job(`r${i}.service`, [`Replaces=r${(i + 1) % n}.service`]));
    const view: ClusterView = { jobs: ring, machines: [A] };
    const placed = apply(view, reconcile(view));
    expect(placed.jobs.every((one) => one.target === "a")).toBe(true);
    expect(reconcile(placed).decisions).toEqual([]);
  });

  it("machineid: one unit pinned on each machine", () => {
    const jobs = ["a", "b", "c"].map((id) => job(`pin-${id}.service`, [`MachineID=${id}`]));
    expect(plan(jobs, [A, B, C])).toEqual(["pin-a.service: - -> a", "pin-b.service: - -> b", "pin-c.service: - -> c"]);
  });
});

describe("global units", () => {
  const view = (jobs: readonly Job[], machines = [A, B, C]): ClusterView => ({ jobs, machines });
  const on = (v: ClusterView, id: string) => [...globalsOn(v, id)];

  it("run on every machine that fits and are never scheduled", () => {
    const v = view([job("g.service", ["Global=true", "MachineMetadata=disk=ssd"])], [A, machine("b", { disk: "ssd" })]);
    expect(reconcile(v).decisions).toEqual([]);
    expect([on(v, "a"), on(v, "b")]).toEqual([[], ["g.service"]]);
  });

  it("global-conf: the first wins everywhere, a second that conflicts starts nowhere", () => {
    const v = view([job("g1.service", ["Global=true"]), job("g2.service", ["Global=true", "Conflicts=g1.service"])]);
    for (const id of ["a", "b", "c"]) expect(on(v, id)).toEqual(["g1.service"]);
  });

  it("yield to an ordinary unit that is already there, and keep later ones away", () => {
    const v = view([
      job("x.service", [], at("a")),
      job("g.service", ["Global=true", "Conflicts=x.service y.service"]),
      job("y.service"),
    ]);
    expect([on(v, "a"), on(v, "b")]).toEqual([[], ["g.service"]]);
    expect(show(reconcile(v))).toEqual(["y.service: - -> a"]);
  });

  it("may be a peer", () => {
    const jobs = [job("g.service", ["Global=true", "MachineMetadata=r=1"]), job("x.service", ["MachineOf=g.service"])];
    expect(plan(jobs, [A, machine("b", { r: "1" })])).toEqual(["x.service: - -> b"]);
  });

  it("count as load", () => {
    const jobs = [job("g.service", ["Global=true", "MachineMetadata=r=1"]), job("x.service")];
    expect(plan(jobs, [machine("a", { r: "1" }), B])).toEqual(["x.service: - -> b"]);
  });

  it("lose the target they had before they became global", () => {
    expect(plan([job("g.service", ["Global=true"], at("a"))], [A])).toEqual(["g.service: a -> -"]);
  });
});

it("explains for every machine", () => {
  const jobs = [job("x.service", ["Conflicts=y.service"], at("a")), job("y.service", [], at("b"))];
  expect(explain({ jobs, machines: [A, B, C] }, "y.service")).toEqual([
    { machineId: "a", isHere: false, refusal: "found conflict with locally-scheduled Unit(x.service)" },
    { machineId: "b", isHere: true },
    { machineId: "c", isHere: false },
  ]);
  expect(explain({ jobs, machines: [A] }, "none.service")).toBeUndefined();
});
