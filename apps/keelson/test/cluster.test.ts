import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CliBench, holds } from "./bench.ts";

interface View {
  readonly machines: readonly { name: string; state: string; etcd: string; inFleet?: boolean }[];
  readonly units: readonly { unit: string; machine: string; active: string }[];
  readonly hasQuorum: boolean;
}

/** One cluster in the background, steered by commands as a user would. */
describe("a cluster in the background", () => {
  const bench = new CliBench();
  const NAME = ["--name", "a"];
  const status = async (): Promise<View> => JSON.parse((await bench.run("status", ...NAME, "-o", "json")).out) as View;
  const until = (what: string, probe: (view: View) => boolean) =>
    holds(async () => expect([what, probe(await status())]).toEqual([what, true]));

  beforeAll(async () => {
    const up = await bench.run("cluster", "up", ...NAME, "--machines", "3", "--demo");
    expect(up.err).toBe("");
    expect(up.code).toBe(0);
    expect(up.out).toMatch(/^cluster a: 3 machines \(process\), quorum\n/);
    expect(up.out).toMatch(/hello\.service +launched +m\d +active +running/);
    expect(up.out).toContain("npm run -s keelson -- kill --name a m1");
  }, 120_000);

  afterAll(async () => {
    await bench.run("cluster", "down", ...NAME);
    bench[Symbol.dispose]();
  }, 90_000);

  it("is shown as text and as JSON", async () => {
    const text = await bench.run("cluster", "status", ...NAME);
    expect(text.code).toBe(0);
    expect(text.out).toMatch(
      /MACHINE +STATE +ETCD +TERM +INDEX +FLEET\nm1 +running +(leader|follower) +\d+ +\d+ +present/,
    );
    const view = await status();
    expect(view.machines.map((m) => m.name)).toEqual(["m1", "m2", "m3"]);
    expect(view.machines.filter((m) => m.etcd === "leader")).toHaveLength(1);
  });

  it("is not started a second time, nor harmed by the attempt", async () => {
    for (const flags of [[], ["--foreground"]]) {
      const again = await bench.run("cluster", "up", ...NAME, ...flags);
      expect(again.code).toBe(1);
      expect(again.err).toMatch(/running already|runs in .* already/);
      expect(again.err).toContain("keelson cluster down");
      expect(again.err.trim().split("\n").length).toBeLessThanOrEqual(2);
    }
    expect((await status()).hasQuorum).toBe(true);
  });

  it("runs commands on machines and passes their exit codes and flags on", async () => {
    const result = await bench.run("exec", ...NAME, "m2", "echo", "-n", "$KEELSON_MACHINE;", "exit", "7");
    expect(result).toEqual({ code: 7, out: "m2", err: "" });
  });

  it("prints logs of machines", async () => {
    expect((await bench.run("logs", ...NAME, "m1", "etcd")).out).toContain('"component":"etcd"');
    expect((await bench.run("logs", ...NAME, "m1", "fleetd")).out).not.toBe("");
    const bad = await bench.run("logs", ...NAME, "m1", "nginx");
    expect(bad.code).toBe(2);
  });

  it("loses a machine, moves its units, and gets it back", async () => {
    const victim = (await status()).units[0]?.machine ?? "";
    expect((await bench.run("kill", ...NAME, victim)).out).toBe(`${victim} killed\n`);
    await until("the unit elsewhere", ({ units }) => units.some((u) => u.machine !== victim && u.active === "active"));
    expect((await status()).machines.find((m) => m.name === victim)).toMatchObject({ state: "stopped", etcd: "-" });
    const twice = await bench.run("pause", ...NAME, victim);
    expect([twice.code, twice.err]).toEqual([
      1,
      `keelson: cannot pause machine ${victim}: it is stopped, not running\n`,
    ]);
    expect((await bench.run("restart", ...NAME, victim)).code).toBe(0);
    await until("all three", (view) =>
      view.machines.every((m) => m.inFleet === true && /leader|follower/.test(m.etcd)),
    );
  });

  it("is split and joined", async () => {
    expect((await bench.run("partition", ...NAME, "m1")).out).toBe("partitioned: m1 | the others\n");
    await until("m1 without a leader", (view) => view.machines[0]?.etcd === "no leader" && view.hasQuorum);
    expect((await bench.run("heal", ...NAME)).out).toBe("healed\n");
    await until(
      "m1 with a leader",
      (view) => /leader$|follower/.test(view.machines[0]?.etcd ?? "") && view.machines[0]?.etcd !== "no leader",
    );
  });

  it("names the machines there are when asked for another", async () => {
    for (const command of ["kill", "restart", "logs"]) {
      const result = await bench.run(command, ...NAME, "m9");
      expect([result.code, result.err]).toEqual([1, "keelson: there is no machine m9: give one of m1, m2, m3\n"]);
    }
    const split = await bench.run("partition", ...NAME, "m1", "m1");
    expect([split.code, split.err]).toEqual([1, "keelson: cannot partition: m1 is in two groups\n"]);
  });

  it("goes down and leaves nothing", async () => {
    const down = await bench.run("cluster", "down", ...NAME);
    expect([down.code, down.out]).toEqual([0, "cluster a is down\n"]);
    expect(bench.hasDirectory("a")).toBe(false);
    await holds(() => expect(bench.processes()).toEqual([]), 5_000);
    const status = await bench.run("status", ...NAME);
    expect([status.code, status.err]).toEqual([
      1,
      'keelson: no cluster a is running: start one with "keelson cluster up"\n',
    ]);
  });
});
