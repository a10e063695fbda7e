import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SystemClock } from "@keelson/log";
import { eventually, runProcess, startProcess, type TempDir, tempDir } from "@keelson/testkit";
import { silentLogger } from "@keelson/types";
import { AgentClient } from "@keelson/update/client";
import { UpdateServer } from "@keelson/update/server";
import { bootNext, cmdlineOf, installMachine, Publisher } from "@keelson/update/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

// The program itself, on a machine in a directory. `systemctl` is a script of the test's that writes down what it is asked.

const MAIN = join(import.meta.dirname, "../src/main.ts");
let dir: TempDir;
let server: UpdateServer;
let publisher: Publisher;
let env: Record<string, string>;

beforeAll(async () => {
  dir = await tempDir("updated");
  publisher = new Publisher(dir.join("srv"));
  await mkdir(publisher.root);
  const commit = await publisher.publish("1.0.0");
  server = await UpdateServer.start({ root: publisher.root, port: 0, clock: new SystemClock(), logger: silentLogger });
  const root = dir.join("m");
  await mkdir(root);
  await installMachine({
    root,
    commit,
    version: "1.0.0",
    repo: join(publisher.root, "repo"),
    key: publisher.keys.publicKey,
  });
  await mkdir(dir.join("bin"));
  await writeFile(
    dir.join("bin/systemctl"),
    `#!/bin/sh\ncase $1 in is-system-running) echo running ;; *) echo "$*" >>${dir.join("asked")} ;; esac\n`,
  );
  await chmod(dir.join("bin/systemctl"), 0o755);
  await mkdir(dir.join("none"));
  env = {
    PATH: `${dir.join("bin")}:${process.env["PATH"] ?? ""}`,
    UPDATED_CINCINNATI_BASE_URL: server.url,
    UPDATED_UPDATES_STRATEGY: "reboot",
    UPDATED_AGENT_TIMING_STEADY_INTERVAL_SECS: "1",
    UPDATED_HEALTH_BUILTIN: "systemd",
    UPDATED_HEALTH_CHECK_DIRECTORIES: dir.join("checks"),
    UPDATED_KEYS_DIRECTORIES: join(root, "keys"),
    UPDATED_PATHS_SYSROOT: root,
    UPDATED_PATHS_ESP: join(root, "esp"),
    UPDATED_PATHS_BOOTLOG: join(root, "bootlog"),
    UPDATED_PATHS_CMDLINE: dir.join("cmdline"),
    UPDATED_PATHS_STATE: join(root, "state.json"),
    UPDATED_PATHS_SOCKET: dir.join("updated.sock"),
  };
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

async function boot() {
  const booted = await bootNext(dir.join("m"));
  await writeFile(dir.join("cmdline"), cmdlineOf(booted));
  const child = startProcess(process.execPath, [MAIN, "--config-dir", dir.join("none")], { env, name: "updated" });
  return { booted, child };
}

it("looks, pulls, arms, asks systemd to reboot; after the boot marks good, and tells", {
  timeout: 60_000,
}, async () => {
  const client = new AgentClient(dir.join("updated.sock"));
  const status = async () => await client.status().catch(() => undefined);
  {
    const { booted, child } = await boot();
    await using _ = child;
    expect(booted.version).toBe("1.0.0");
    await eventually(async () => (await status())?.state === "idle", { timeoutMs: 20_000 });
    await publisher.publish("2.0.0");
    expect(await client.command("check")).toEqual({});
    const asked = await eventually(() => readFile(dir.join("asked"), "utf8"), { timeoutMs: 20_000 });
    expect(asked).toBe("start --no-block --job-mode=replace-irreversibly reboot.target\n");
    expect(await status()).toMatchObject({ state: "rebooting", target: { version: "2.0.0" } });
    expect(await client.command("check")).toMatchObject({ refused: expect.stringContaining("rebooting") });
  }
  {
    const { booted, child } = await boot();
    await using _ = child;
    expect(booted.version).toBe("2.0.0");
    await eventually(async () => (await status())?.state === "idle", { timeoutMs: 20_000 });
    expect(await status()).toMatchObject({
      booted: { version: "2.0.0", onTrial: false },
      previous: { version: "1.0.0" },
      last: { text: "updated from 1.0.0 to 2.0.0" },
      health: { green: true, checks: [{ name: "systemd", outcome: "passed" }] },
    });
    expect((await client.history()).map((h) => h.text)).toEqual(["updated from 1.0.0 to 2.0.0"]);
    child.kill("SIGTERM");
    expect(await child.exited).toMatchObject({ code: 0 });
  }
});

describe("bad calls end with a reason", () => {
  it.each([
    [["--bogus"], {}, 2, /Unknown option '--bogus'.*see updated --help/],
    [["--check-config"], { UPDATED_BOGUS: "1" }, 2, /updated: unknown environment variable UPDATED_BOGUS/],
    [[], { UPDATED_PATHS_ESP: "/nowhere" }, 1, /\/nowhere is no ESP with boot entries: is it mounted\?/],
  ])("%j %j", async (args, more, code, want) => {
    const result = await runProcess(process.execPath, [MAIN, "--config-dir", dir.join("none"), ...args], {
      env: { ...env, ...more },
    });
    expect([result.code, result.stdout]).toEqual([code, ""]);
    expect(result.stderr).toMatch(want);
  });

  it("right settings are said to be so", async () => {
    const result = await runProcess(process.execPath, [MAIN, "--check-config", "--config-dir", dir.join("none")], {
      env,
    });
    expect([result.code, result.stdout]).toEqual([0, "the settings are right\n"]);
  });
});
