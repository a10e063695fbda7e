import { expect, it } from "vitest";
import type { Bench, UnitManagerSupports } from "./harness.ts";

/** Units that do not do what they should. */
export function failureTests(bench: Bench, supports: UnitManagerSupports): void {
  it("tells a failed oneshot by its job and its status, and runs nothing after the failure", async () => {
    const name = await bench.service("fails", [
      "Type=oneshot",
      "ExecStart=/bin/sh -c 'exit 3'",
      "ExecStart=/bin/echo mark:no",
    ]);
    expect(await bench.manager.start(name)).toBe("failed");
    await bench.until(name, { activeState: "failed", subState: "failed", result: "exit-code", execMainStatus: 3 });
    expect(await bench.marks(name)).toEqual([]);
  });

  it("takes a failure after the prefix - as success", async () => {
    const name = await bench.service("ignored", [
      "Type=oneshot",
      "ExecStart=-/bin/false",
      "ExecStart=/bin/echo mark:yes",
    ]);
    expect(await bench.manager.start(name)).toBe("done");
    await expect.poll(() => bench.marks(name), { timeout: 10_000 }).toEqual(["yes"]);
  });

  it("fails the start of an exec service whose program is missing", async () => {
    const name = await bench.service("missing", ["Type=exec", "ExecStart=/nonexistent/program"]);
    expect(await bench.manager.start(name)).toBe("failed");
    await bench.until(name, { activeState: "failed", result: "exit-code", execMainStatus: 203 });
  });

  it("does not start a service whose ExecStartPre fails", async () => {
    const name = await bench.service("pre-fails", [
      "ExecStartPre=/bin/false",
      "ExecStart=/bin/echo mark:no",
      "ExecStop=/bin/echo mark:no-stop",
      "ExecStopPost=/bin/echo mark:post",
    ]);
    expect(await bench.manager.start(name)).toBe("failed");
    await bench.until(name, { activeState: "failed", result: "exit-code" });
    await expect.poll(() => bench.marks(name), { timeout: 10_000 }).toEqual(["post"]);
  });

  it("tells a crash from an exit", async () => {
    const killed = await bench.service("killed", ["ExecStart=/bin/sh -c 'kill -KILL $$$$'"]);
    await bench.manager.start(killed);
    await bench.until(killed, { activeState: "failed", result: "signal", execMainStatus: 9 });
    const exited = await bench.service("exited", ["ExecStart=/bin/sh -c 'exit 7'"]);
    await bench.manager.start(exited);
    await bench.until(exited, { activeState: "failed", result: "exit-code", execMainStatus: 7 });
    const clean = await bench.service("clean", ["ExecStart=/bin/sleep 0.1"]);
    await bench.manager.start(clean);
    await bench.until(clean, { activeState: "inactive", subState: "dead", result: "success" });
  });

  it("restarts a failing service until its start limit is hit", async () => {
    const name = await bench.service(
      "limit",
      ["ExecStart=/bin/sh -c 'echo mark:run; exit 1'", "Restart=on-failure", "RestartSec=50ms"],
      ["StartLimitIntervalSec=1min", "StartLimitBurst=3"],
    );
    expect(await bench.manager.start(name)).toBe("done");
    await bench.until(name, { activeState: "failed", subState: "failed" });
    await expect.poll(() => bench.marks(name), { timeout: 10_000 }).toEqual(["run", "run", "run"]);
    expect(await bench.manager.start(name)).toBe("failed");
  });

  it("brings a killed service back with Restart=always, and not after a stop", async () => {
    const killer = await bench.service("killer", [
      "Type=oneshot",
      `ExecStart=/bin/sh -c 'kill -KILL $(cat ${bench.scratch}/pid)'`,
    ]);
    const name = await bench.service("always", [
      `ExecStart=/bin/sh -c 'echo $$$$ > ${bench.scratch}/pid; exec sleep 1000'`,
      "ExecStartPost=/bin/sleep 0.2",
      "Restart=always",
      "RestartSec=0",
    ]);
    await bench.manager.start(name);
    const before = await bench.until(name, { subState: "running" });
    expect(await bench.manager.start(killer)).toBe("done");
    await expect.poll(async () => (await bench.manager.status(name)).invocationId).not.toBe(before.invocationId);
    const after = await bench.until(name, { subState: "running" });
    expect(after.mainPid).not.toBe(before.mainPid);
    expect(await bench.manager.stop(name)).toBe("done");
    await bench.until(name, { activeState: "inactive", subState: "dead" });
  });

  it("waits between restarts, and a stop ends the wait", async () => {
    const name = await bench.service("waiting", ["ExecStart=/bin/false", "Restart=on-failure", "RestartSec=1h"]);
    await bench.manager.start(name);
    await bench.until(name, { activeState: "activating", subState: "auto-restart" });
    expect(await bench.manager.stop(name)).toBe("done");
    await bench.until(name, { activeState: "inactive" });
  });

  it("kills a service that does not stop in time", async () => {
    const name = await bench.service("stubborn", [
      `ExecStart=/bin/sh -c 'trap "" TERM; echo mark:up; while :; do sleep 0.1; done'`,
      "TimeoutStopSec=500ms",
    ]);
    await bench.manager.start(name);
    await expect.poll(() => bench.marks(name), { timeout: 10_000 }).toEqual(["up"]);
    expect(await bench.manager.stop(name)).toBe("done");
    await bench.until(name, { activeState: "failed", subState: "failed", result: "timeout" });
  });

  it("fails a start that takes too long", async () => {
    const name = await bench.service("late", ["Type=notify", "TimeoutStartSec=500ms", "ExecStart=/bin/sleep 1000"]);
    expect(await bench.manager.start(name)).toBe("failed");
    await bench.until(name, { activeState: "failed", result: "timeout" });
  });

  it("fails a notify service that ends without a word", async () => {
    const name = await bench.service("silent", ["Type=notify", "ExecStart=/bin/true"]);
    expect(await bench.manager.start(name)).toBe("failed");
    await bench.until(name, { activeState: "failed", result: "protocol" });
  });

  it("cancels a start that a stop overtakes", async () => {
    const name = await bench.service("overtaken", ["Type=notify", "ExecStart=/bin/sleep 1000"]);
    const started = bench.manager.start(name);
    await bench.until(name, { activeState: "activating" });
    expect(await bench.manager.stop(name)).toBe("done");
    expect(await started).toBe("canceled");
    await bench.until(name, { activeState: "inactive" });
  });

  it("ends the wait for a job when asked, and lets the job go on", async () => {
    const name = await bench.service("aborted", ["Type=oneshot", "RemainAfterExit=yes", "ExecStart=/bin/sleep 0.7"]);
    const signal = AbortSignal.timeout(100);
    await expect(bench.manager.start(name, { signal })).rejects.toThrow();
    await bench.until(name, { activeState: "active", subState: "exited" });
  });

  it("ends a service's children with it", async () => {
    const name = await bench.service("children", ["ExecStart=/bin/sh -c 'sleep 1000 & echo mark:$!; wait'"]);
    await bench.manager.start(name);
    await expect.poll(() => bench.marks(name), { timeout: 10_000 }).toHaveLength(1);
    const child = Number((await bench.marks(name))[0]);
    expect(await bench.harness.isAlive(child)).toBe(true);
    await bench.manager.stop(name);
    expect(await bench.harness.isAlive(child)).toBe(false);
  });

  it.runIf(supports.killsEscapedProcesses)("ends children that left for a session of their own", async () => {
    const name = await bench.service("escaped", [
      "ExecStart=/bin/sh -c 'setsid sh -c \"echo mark:$$$$; exec sleep 1000\" & wait'",
    ]);
    await bench.manager.start(name);
    await expect.poll(() => bench.marks(name), { timeout: 10_000 }).toHaveLength(1);
    await bench.manager.stop(name);
    await bench.until(name, { activeState: "inactive" });
    const child = Number((await bench.marks(name))[0]);
    expect(await bench.harness.isAlive(child)).toBe(false);
  });

  it("does not start a unit whose requirement fails", async () => {
    const needed = await bench.service("needed", ["Type=oneshot", "ExecStart=/bin/false"]);
    const name = await bench.service(
      "needing",
      ["ExecStart=/bin/echo mark:no"],
      [`Requires=${needed}`, `After=${needed}`],
    );
    expect(await bench.manager.start(name)).toBe("dependency");
    expect(await bench.marks(name)).toEqual([]);
  });
}
