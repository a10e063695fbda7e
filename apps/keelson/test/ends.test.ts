import { afterAll, expect, it } from "vitest";
import { CliBench, holds } from "./bench.ts";

const bench = new CliBench();
afterAll(() => bench[Symbol.dispose]());

async function expectNothing(name: string): Promise<void> {
  await holds(() => expect(bench.processes()).toEqual([]), 5_000);
  expect(bench.hasDirectory(name)).toBe(false);
}

it("--once ends as soon as everything runs, and leaves nothing", async () => {
  const up = await bench.run("cluster", "up", "--name", "once", "--machines", "1", "--demo", "--once");
  expect(up.code).toBe(0);
  expect(up.out).toMatch(/cluster once: 1 machines \(process\), quorum\n/);
  expect(up.out).toMatch(/hello\.service +launched +m1 +active +running/);
  expect(up.err).toMatch(/etcd has a quorum \(\d+\.\d s\)/);
  await expectNothing("once");
});

it.each(["SIGINT", "SIGTERM"] as const)("%s during the start leaves nothing", async (signal) => {
  const up = bench.start("cluster", "up", "--name", "early", "--machines", "3", "--foreground");
  // The host itself, and a program of a machine.
  await holds(() => expect(bench.processCount()).toBeGreaterThan(1));
  up.child.kill(signal);
  up.child.kill(signal);
  const { code, err } = await up.result;
  expect(code).toBe(130);
  expect(err).toContain(`interrupted by ${signal}`);
  await expectNothing("early");
});

it("Ctrl-C while it runs ends it well; twice is as good as once", async () => {
  const up = bench.start("cluster", "up", "--name", "run", "--machines", "1", "--foreground");
  await holds(() => expect(up.text()).toContain("Ctrl-C ends the cluster"));
  expect(bench.hasDirectory("run")).toBe(true);
  up.child.kill("SIGINT");
  up.child.kill("SIGINT");
  const { code, err } = await up.result;
  expect(code).toBe(0);
  expect(err).toContain("ending the cluster");
  await expectNothing("run");
});

it("down sweeps what a host that was killed has left, also what left its tree", async () => {
  const up = bench.start("cluster", "up", "--name", "dead", "--machines", "1", "--demo", "--foreground");
  await holds(() => expect(up.text()).toContain("Ctrl-C ends the cluster"));
  const away = bench.run("exec", "--name", "dead", "m1", "(setsid sleep 3000 >/dev/null 2>&1 &) ; echo started");
  expect((await away).out).toBe("started\n");
  up.child.kill("SIGKILL");
  await up.result;
  expect(bench.processCount()).toBeGreaterThanOrEqual(4);
  const down = await bench.run("cluster", "down", "--name", "dead");
  expect([down.code, down.out]).toEqual([0, "cluster dead had crashed; what it left is gone\n"]);
  await expectNothing("dead");
  const again = await bench.run("cluster", "down", "--name", "dead");
  expect([again.code, again.out]).toEqual([0, "no cluster dead is running\n"]);
});
