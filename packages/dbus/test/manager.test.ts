import type { SystemdContainer } from "@keelson/linux";
import type { UnitStatus } from "@keelson/unit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { SystemdUnitManager } from "../src/manager.ts";
import { bootMachine, openManager, problem } from "./machine.ts";

const SLEEPER = "[Service]\nExecStart=/bin/sleep 1000\n";

// What is systemd's own; what all managers share is in contract.test.ts.
describe.skipIf(problem !== undefined)("SystemdUnitManager", () => {
  let machine: SystemdContainer;
  let manager: SystemdUnitManager;
  beforeAll(async () => {
    machine = await bootMachine();
  });
  afterAll(async () => {
    await machine?.kill();
  });
  beforeEach(() => {
    manager = openManager(machine);
  });
  afterEach(async () => {
    const names = (await manager.list()).map(({ name }) => name);
    for (const name of names) await manager.stop(name);
    await manager.unload(names);
    await manager[Symbol.asyncDispose]();
  });
  const sh = async (script: string) => (await machine.exec(["sh", "-c", script], { check: false })).stdout.trim();

  it("keeps files in /run/fleet/units and links them until the next boot", async () => {
    await manager.load([{ name: "linked.service", content: SLEEPER }]);
    expect(await sh("cat /run/fleet/units/linked.service")).toBe(SLEEPER.trim());
    expect(await sh("readlink /run/systemd/system/linked.service")).toBe("/run/fleet/units/linked.service");
    await manager.unload(["linked.service"]);
    expect(await sh("ls -A /run/fleet/units; ls /run/systemd/system/linked.service 2>&1 >/dev/null | wc -l")).toBe("1");
  });

  it("enables units with [Install], and disables them again", async () => {
    const content = `${SLEEPER}[Install]\nWantedBy=basic.target\nAlias=other-name.service\n`;
    await manager.load([{ name: "enabled.service", content }]);
    expect(await sh("systemctl is-enabled enabled.service")).toBe("enabled-runtime");
    expect(await sh("readlink /run/systemd/system/basic.target.wants/enabled.service")).toBe(
      "/run/fleet/units/enabled.service",
    );
    await manager.unload(["enabled.service"]);
    expect(await sh("ls /run/systemd/system/basic.target.wants 2>/dev/null")).not.toContain("enabled");
  });

  it("puts everything back when a unit cannot be enabled", async () => {
    const kept = { name: "kept.service", content: SLEEPER };
    await manager.load([kept]);
    const bad = { name: "bad.service", content: `${SLEEPER}[Install]\nAlias=wrong-type.socket\n` };
    await expect(manager.load([{ ...kept, content: "[Service]\nExecStart=/bin/true\n" }, bad])).rejects.toMatchObject({
      code: "ERR_UNIT_MANAGER",
    });
    expect(await manager.content("kept.service")).toBe(SLEEPER);
    expect(await manager.content("bad.service")).toBeUndefined();
    expect(await manager.start("kept.service")).toBe("done");
  });

  it("keeps jobs and subscribers over a daemon-reexec", async () => {
    await manager.load([
      { name: "reexec.service", content: "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 1\n" },
    ]);
    const seen: UnitStatus[] = [];
    using _subscription = manager.subscribe((status) => seen.push(status));
    const job = manager.start("reexec.service");
    await machine.exec(["systemctl", "daemon-reexec"]);
    expect(await job).toBe("done");
    await expect
      .poll(() => seen.at(-1), { timeout: 10_000 })
      .toMatchObject({ activeState: "active", subState: "exited" });
    await machine.exec(["systemctl", "stop", "reexec.service"]);
    await expect.poll(() => seen.at(-1), { timeout: 10_000 }).toMatchObject({ activeState: "inactive" });
  });

  it("comes back after the bus was restarted, and tells what changed meanwhile", async () => {
    await manager.load([{ name: "bus.service", content: SLEEPER }]);
    const seen: UnitStatus[] = [];
    using _subscription = manager.subscribe((status) => seen.push(status));
    await manager.start("bus.service");
    await expect.poll(() => seen.at(-1)?.activeState, { timeout: 10_000 }).toBe("active");
    await sh("systemctl stop dbus.socket dbus.service");
    await expect(manager.list()).rejects.toMatchObject({ code: "ERR_UNIT_MANAGER_UNAVAILABLE" });
    // systemctl as root needs no bus.
    await sh("systemctl kill -s KILL bus.service");
    await sh("systemctl start dbus.socket dbus.service");
    await expect.poll(() => seen.at(-1)?.activeState, { timeout: 20_000 }).toBe("failed");
    await expect
      .poll(async () => await manager.start("bus.service").catch(() => "no"), { timeout: 20_000 })
      .toBe("done");
  });

  it("keeps loaded instances when their template is unloaded", async () => {
    const content = "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=basic.target\n";
    await manager.load(["t@.service", "t@1.service"].map((name) => ({ name, content })));
    await manager.unload(["t@.service"]);
    expect(
      await sh("readlink /run/systemd/system/t@1.service /run/systemd/system/basic.target.wants/t@1.service"),
    ).toBe("/run/fleet/units/t@1.service\n/run/fleet/units/t@1.service");
    expect(await manager.start("t@1.service")).toBe("done");
  });

  it("waits for the right job when hundreds end at once", async () => {
    const names = Array.from({ length: 40 }, (_, i) => `swarm${i}.service`);
    const content = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'exit %p'\n";
    await manager.load(names.map((name, i) => ({ name, content: content.replace("%p", String(i % 2)) })));
    const started = performance.now();
    const results = await Promise.all(names.map((name) => manager.start(name)));
    process.stderr.write(`40 oneshots started over D-Bus in ${Math.round(performance.now() - started)} ms\n`);
    expect(results).toEqual(names.map((_, i) => (i % 2 === 0 ? "done" : "failed")));
  });

  it("loads many units at once with few reloads", async () => {
    const before = Number(await sh("journalctl -b _PID=1 -o cat | grep -c '^Reloading'"));
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => manager.load([{ name: `batch${i}.service`, content: SLEEPER }])),
    );
    const after = Number(await sh("journalctl -b _PID=1 -o cat | grep -c '^Reloading'"));
    expect(await manager.list()).toHaveLength(20);
    expect(after - before).toBeLessThan(20);
  });

  it("says what is wrong when there is no bus", async () => {
    const { SystemdUnitManager } = await import("../src/manager.ts");
    await using lost = new SystemdUnitManager({
      busAddress: "unix:path=/nonexistent/bus",
      unitsDirectory: "/nonexistent",
    });
    await expect(lost.list()).rejects.toMatchObject({ code: "ERR_UNIT_MANAGER_UNAVAILABLE" });
    await expect(lost.list()).rejects.toThrow("unix:path=/nonexistent/bus");
  });
});
