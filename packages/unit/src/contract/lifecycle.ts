import { expect, it } from "vitest";
import type { Bench } from "./harness.ts";

/** Units that do what they should. */
export function lifecycleTests(bench: Bench): void {
  it("runs a simple service until it is stopped", async () => {
    const name = await bench.service("simple", ["ExecStart=/bin/sleep 1000"]);
    expect(await bench.manager.start(name)).toBe("done");
    const status = await bench.until(name, { activeState: "active", subState: "running", result: "success" });
    expect(status.mainPid).toBeGreaterThan(1);
    expect(status.invocationId).toMatch(/^[0-9a-f]{32}$/);
    expect(await bench.harness.isAlive(status.mainPid ?? 0)).toBe(true);
    expect(await bench.manager.stop(name)).toBe("done");
    const stopped = await bench.until(name, { activeState: "inactive", subState: "dead", result: "success" });
    expect(stopped.mainPid).toBeUndefined();
    expect(await bench.harness.isAlive(status.mainPid ?? 0)).toBe(false);
  });

  it("does nothing when a running unit is started or a stopped one stopped", async () => {
    const name = await bench.service("noop", ["ExecStart=/bin/sleep 1000"]);
    expect(await bench.manager.stop(name)).toBe("done");
    expect(await bench.manager.start(name)).toBe("done");
    const before = await bench.until(name, { subState: "running" });
    expect(await bench.manager.start(name)).toBe("done");
    expect(await bench.manager.status(name)).toMatchObject({
      mainPid: before.mainPid,
      invocationId: before.invocationId,
    });
  });

  it("gives each start its own invocation id", async () => {
    const name = await bench.service("invocation", ["ExecStart=/bin/sleep 1000"]);
    const ids: (string | undefined)[] = [];
    for (let i = 0; i < 2; i++) {
      await bench.manager.start(name);
      ids.push((await bench.until(name, { subState: "running" })).invocationId);
      await bench.manager.stop(name);
    }
    expect(new Set(ids).size).toBe(2);
  });

  it("waits for a oneshot's commands, in order", async () => {
    const name = await bench.service("oneshot", [
      "Type=oneshot",
      "ExecStart=/bin/sh -c 'sleep 0.2; echo mark:1'",
      "ExecStart=/bin/echo mark:2",
    ]);
    expect(await bench.manager.start(name)).toBe("done");
    await bench.until(name, { activeState: "inactive", subState: "dead", result: "success" });
    await expect.poll(() => bench.marks(name), { timeout: 10_000 }).toEqual(["1", "2"]);
  });

  it("keeps a oneshot with RemainAfterExit active", async () => {
    const name = await bench.service("remain", [
      "Type=oneshot",
      "RemainAfterExit=yes",
      "ExecStart=/bin/true",
      "ExecStop=/bin/echo mark:stop",
    ]);
    expect(await bench.manager.start(name)).toBe("done");
    await bench.until(name, { activeState: "active", subState: "exited" });
    expect(await bench.manager.stop(name)).toBe("done");
    await bench.until(name, { activeState: "inactive", subState: "dead" });
    await expect.poll(() => bench.marks(name), { timeout: 10_000 }).toEqual(["stop"]);
  });

  it("takes a notify service as started when it says so", async () => {
    const flag = `${bench.scratch}/ready-${bench.harness.prefix}`;
    const name = await bench.service("notify", [
      "Type=notify",
      "NotifyAccess=all",
      `ExecStart=/bin/sh -c 'while [ ! -e ${flag} ]; do sleep 0.05; done; systemd-notify --ready --status=up; exec sleep 1000'`,
    ]);
    const release = await bench.service("release", ["Type=oneshot", `ExecStart=/bin/sh -c 'echo > ${flag}'`]);
    const started = bench.manager.start(name);
    await bench.until(name, { activeState: "activating", subState: "start" });
    expect(await bench.manager.start(release)).toBe("done");
    expect(await started).toBe("done");
    await bench.until(name, { activeState: "active", subState: "running" });
  });

  it("runs the commands around a service in order, ExecStop while it still runs", async () => {
    const name = await bench.service("order", [
      "ExecStartPre=/bin/echo mark:pre1",
      "ExecStartPre=/bin/echo mark:pre2",
      `ExecStart=/bin/sh -c 'trap "echo mark:term; exit 0" TERM; echo mark:main; while :; do sleep 0.1; done'`,
      "ExecStartPost=/bin/sh -c 'sleep 0.3; echo mark:post'",
      "ExecStop=/bin/sh -c 'kill -0 $MAINPID && echo mark:stop'",
      "ExecStopPost=/bin/sh -c 'echo mark:stop-post $SERVICE_RESULT'",
    ]);
    expect(await bench.manager.start(name)).toBe("done");
    expect(await bench.manager.stop(name)).toBe("done");
    await expect
      .poll(() => bench.marks(name), { timeout: 10_000 })
      .toEqual(["pre1", "pre2", "main", "post", "stop", "term", "stop-post success"]);
  });

  it("sends the unit's KillSignal", async () => {
    const name = await bench.service("signal", [
      `ExecStart=/bin/sh -c 'trap "echo mark:int; exit 0" INT; echo mark:up; while :; do sleep 0.1; done'`,
      "KillSignal=SIGINT",
    ]);
    await bench.manager.start(name);
    await expect.poll(() => bench.marks(name), { timeout: 10_000 }).toEqual(["up"]);
    expect(await bench.manager.stop(name)).toBe("done");
    await expect.poll(() => bench.marks(name), { timeout: 10_000 }).toEqual(["up", "int"]);
  });

  it("builds the environment from settings, files and specifiers", async () => {
    const file = `${bench.scratch}/env-${bench.harness.prefix}`;
    const name = await bench.service("env", [
      "Type=oneshot",
      'Environment=A=1 "B=two words" C=%p',
      "Environment=A=overridden",
      `EnvironmentFile=-${file}`,
      `ExecStartPre=/bin/sh -c 'printf "C=from-file\\\\nD=\\\\"q q\\\\"\\\\n" > ${file}'`,
      `ExecStart=/bin/echo mark:\${A}|\${B}|\${C}|\${D}|$$|%%`,
      "ExecStart=/bin/sh -c 'echo mark:$# $*' x $B $NONE ${B}",
    ]);
    expect(await bench.manager.start(name)).toBe("done");
    await expect
      .poll(() => bench.marks(name), { timeout: 10_000 })
      .toEqual(["overridden|two words|from-file|q q|$|%", "3 two words two words"]);
  });

  it("starts in the WorkingDirectory", async () => {
    const name = await bench.service("cwd", [
      "Type=oneshot",
      "WorkingDirectory=/usr",
      "ExecStart=/bin/sh -c 'echo mark:$(pwd)'",
    ]);
    expect(await bench.manager.start(name)).toBe("done");
    await expect.poll(() => bench.marks(name), { timeout: 10_000 }).toEqual(["/usr"]);
  });

  it("runs the units that a unit wants, in the order it asks for", async () => {
    const wanted = await bench.service("wanted", ["Type=oneshot", "RemainAfterExit=yes", "ExecStart=/bin/sleep 0.2"]);
    const name = await bench.service(
      "wanting",
      ["ExecStart=/bin/sleep 1000"],
      [`Requires=${wanted}`, `After=${wanted}`],
    );
    expect(await bench.manager.start(name)).toBe("done");
    await bench.until(wanted, { activeState: "active", subState: "exited" });
  });

  it("works on several units at a time", async () => {
    const names: string[] = [];
    for (let i = 0; i < 8; i++) names.push(await bench.service(`many${i}`, ["ExecStart=/bin/sleep 1000"]));
    const starts = names.map((name) => bench.manager.start(name));
    for (const start of starts) expect(await start).toBe("done");
    const running = (await bench.manager.list()).filter((s) => names.includes(s.name) && s.activeState === "active");
    expect(running).toHaveLength(8);
    const stops = names.map((name) => bench.manager.stop(name));
    for (const stop of stops) expect(await stop).toBe("done");
  });
}
