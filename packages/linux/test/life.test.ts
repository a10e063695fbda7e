import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { UnitManager, UnitStatus } from "@keelson/unit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { killLeftovers } from "../src/embedded/leftovers.ts";
import { EmbeddedUnitManager } from "../src/embedded/manager.ts";
import { isLive, readProcessStat } from "../src/proc.ts";
import { connectUnitManager } from "../src/socket/connect.ts";
import { serveUnitManager } from "../src/socket/serve.ts";

const SLEEPER = {
  name: "sleeper.service",
  content: "[Service]\nExecStart=/bin/sh -c 'setsid sleep 1000 & sleep 1000'\nExecStop=/bin/echo stopping\n",
};

const isAlive = (pid: number) => {
  const stat = readProcessStat(pid);
  return stat !== undefined && isLive(stat);
};

let directory: string;
let socketPath: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "keelson-life-"));
  socketPath = join(directory, "m.sock");
});
afterEach(async () => {
  await killLeftovers(directory);
  rmSync(directory, { recursive: true, force: true });
});

describe.skipIf(process.platform !== "linux")("a unit manager in its own process", () => {
  let child: ChildProcess;
  const boot = () => {
    const script = `
      const { runUnitManager } = await import(${JSON.stringify(join(import.meta.dirname, "../src/index.ts"))});
      await runUnitManager(${JSON.stringify({ directory, socketPath })});`;
    child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "ignore", "inherit"] });
  };
  const started = async (manager: UnitManager) => {
    await manager.load([SLEEPER]);
    expect(await manager.start(SLEEPER.name)).toBe("done");
    return (await manager.status(SLEEPER.name)).mainPid ?? 0;
  };
  beforeEach(boot);
  afterEach(() => {
    child.kill("SIGKILL");
  });

  it("keeps its units while clients come and go, and stops them when it is told to end", async () => {
    const first = connectUnitManager(socketPath);
    const pid = await started(first);
    await first[Symbol.asyncDispose]();
    await using second = connectUnitManager(socketPath);
    expect((await second.status(SLEEPER.name)).mainPid).toBe(pid);
    child.kill("SIGTERM");
    const [code] = (await once(child, "exit")) as [number | null];
    expect(code).toBe(0);
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(socketPath)).toBe(false);
  });

  it("leaves processes when it is killed, which the next one or the harness ends", async () => {
    await using client = connectUnitManager(socketPath);
    const pid = await started(client);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(isAlive(pid)).toBe(true);
    expect(await killLeftovers(directory)).toBe(3); // the shell, its child, and the one in a session of its own
    expect(isAlive(pid)).toBe(false);
    expect(await killLeftovers(directory)).toBe(0);
    boot();
    expect(await client.status(SLEEPER.name)).toMatchObject({ loadState: "loaded", activeState: "inactive" });
  });
});

describe("serveUnitManager", () => {
  let embedded: EmbeddedUnitManager;
  beforeEach(async () => {
    embedded = await EmbeddedUnitManager.open({ directory });
  });
  afterEach(async () => {
    await embedded[Symbol.asyncDispose]();
  });

  it("lets nobody else in, and serves a path once", async () => {
    await using _server = await serveUnitManager(embedded, socketPath);
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
    await expect(serveUnitManager(embedded, socketPath)).rejects.toThrow("another process serves on");
  });

  it("cuts off a client that sends nonsense, and no other", async () => {
    await using _server = await serveUnitManager(embedded, socketPath);
    await using client = connectUnitManager(socketPath);
    expect(await client.list()).toEqual([]);
    for (const nonsense of [
      "hello\n",
      "[]\n",
      '{"id":1,"method":"rm"}\n',
      '{"id":1,"method":"load","units":[1]}\n',
      '{"id":"1","method":"list"}\n',
    ]) {
      const stranger = createConnection(socketPath);
      stranger.write(nonsense);
      stranger.resume();
      await once(stranger, "close");
    }
    expect(await client.list()).toEqual([]);
  });

  it("is found again by its clients, whose subscribers learn what they missed", async () => {
    let server = await serveUnitManager(embedded, socketPath);
    await using client = connectUnitManager(socketPath);
    const seen: UnitStatus[] = [];
    using _subscription = client.subscribe((status) => seen.push(status));
    await client.load([SLEEPER]);
    const late = { name: "late.service", content: "[Service]\nType=oneshot\nExecStart=/bin/sleep 1000\n" };
    await client.load([late]);
    const pending = client.start(late.name);
    await expect.poll(() => seen.some((s) => s.activeState === "activating")).toBe(true);
    await server[Symbol.asyncDispose]();
    await expect(pending).rejects.toMatchObject({ code: "ERR_UNIT_MANAGER_UNAVAILABLE" });
    expect(await embedded.start(SLEEPER.name)).toBe("done");
    server = await serveUnitManager(embedded, socketPath);
    await expect
      .poll(() => seen.findLast((s) => s.name === SLEEPER.name)?.activeState, { timeout: 10_000 })
      .toBe("active");
    expect(await client.stop(SLEEPER.name)).toBe("done");
    await server[Symbol.asyncDispose]();
  });

  it("is missed with a clear error when it is not there", async () => {
    await using client = connectUnitManager(socketPath, { connectTimeoutMs: 50 });
    await expect(client.list()).rejects.toThrow(`cannot reach the unit manager at ${socketPath}`);
  });
});

describe("EmbeddedUnitManager", () => {
  it("has a directory for itself", async () => {
    await using manager = await EmbeddedUnitManager.open({ directory });
    await expect(EmbeddedUnitManager.open({ directory })).rejects.toMatchObject({ code: "ERR_DIRECTORY_LOCKED" });
    expect(await manager.list()).toEqual([]);
  });

  it("runs services only, and says so", async () => {
    await using manager = await EmbeddedUnitManager.open({ directory });
    await expect(manager.load([{ name: "a.timer", content: "[Timer]\nOnCalendar=daily\n" }])).rejects.toThrow(
      "runs services only, not .timer units",
    );
    await manager.load([{ name: "a.service", content: "[Service]\nType=forking\nExecStart=/bin/true\nUser=www\n" }]);
    const status = await manager.status("a.service");
    expect(status).toMatchObject({ loadState: "bad-setting" });
    expect(status.warnings?.[0]).toContain("Type=forking is not supported by the embedded unit manager");
  });

  it("adopts units and their journals, and starts nothing by itself", async () => {
    const unit = { name: "echo.service", content: "[Service]\nType=oneshot\nExecStart=/bin/echo said\n" };
    for (let i = 1; i <= 2; i++) {
      await using manager = await EmbeddedUnitManager.open({ directory, hostname: "m1" });
      if (i === 1) await manager.load([unit]);
      expect(await manager.start(unit.name)).toBe("done");
      const said: string[] = [];
      for await (const line of manager.journal(unit.name, { lines: 100 })) if (line.endsWith(": said")) said.push(line);
      expect(said).toHaveLength(i);
      expect(said[0]).toMatch(/^[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d m1 echo\[\d+\]: said$/);
    }
  });
});
