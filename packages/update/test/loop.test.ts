import { mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SystemClock } from "@keelson/log";
import { generateKeys } from "@keelson/ostree";
import { eventually, type TempDir, tempDir } from "@keelson/testkit";
import { silentLogger } from "@keelson/types";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { describeEntry } from "../src/index.ts";
import { UpdateServer } from "../src/server/index.ts";
import { Publisher, TestMachine } from "../src/testing/index.ts";

// Everything is real but the kernel and systemd: an update server, signed commits in an archive repository, a sysroot, an
// ESP, a boot log. The boot loader is its own pure function.

let dir: TempDir;
let server: UpdateServer;
let publisher: Publisher;
let machine: TestMachine;

const startServer = async (port = 0) =>
  await UpdateServer.start({ root: publisher.root, port, clock: new SystemClock(), logger: silentLogger });
const until = async (what: string, check: () => boolean) => await eventually(check, { what, timeoutMs: 20_000 });
const agent = () => machine.updater?.agent;
const note = () => {
  const phase = agent()?.phase;
  return phase !== undefined && "note" in phase ? (phase.note ?? "") : "";
};
const isIdleOn = (version: string) => machine.booted.version === version && agent()?.phase.state === "idle";

beforeEach(async () => {
  dir = await tempDir("update-loop");
  publisher = new Publisher(dir.join("srv"));
  await mkdir(publisher.root);
  const commit = await publisher.publish("1.0.0");
  server = await startServer();
  machine = await TestMachine.install({
    root: dir.join("m1"),
    repo: join(publisher.root, "repo"),
    commit,
    version: "1.0.0",
    key: publisher.keys.publicKey,
    serverUrl: server.url,
  });
});
afterEach(async () => {
  await machine[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

it("a good update: pulled, verified, merged, tried once, marked good", async () => {
  await writeFile(join(machine.path, "etc/own.conf"), "mine\n");
  const commit = await publisher.publish("2.0.0");
  await until("2.0.0 runs", () => isIdleOn("2.0.0"));
  expect(machine.boots).toEqual(["1.0.0", "2.0.0"]);
  expect(agent()?.boot.booted.commit).toBe(commit);
  expect(await readFile(join(machine.path, "etc/own.conf"), "utf8")).toBe("mine\n");
  expect(await readFile(join(machine.path, "etc/motd"), "utf8")).toBe("welcome to 2.0.0\n");
  expect(agent()?.memory.history.map(describeEntry)).toEqual(["updated from 1.0.0 to 2.0.0"]);
  // It stays: another boot is no trial.
  await machine.stopAgent();
  await machine.powerOn();
  expect(agent()?.boot.isTrial).toBe(false);
});

describe("a bad version is left, with its reason, and the next one goes through", () => {
  it.each<[string, () => void, RegExp]>([
    [
      "a kernel panic",
      () => machine.panics.add("2.0.0"),
      /^rolled back from 2\.0\.0 to 1\.0\.0: no sign of life: the kernel panicked or hung before the initramfs started; 3 attempts$/,
    ],
    [
      "a service that never gets well",
      () => machine.unwell.set("2.0.0", "GET /livez: ECONNREFUSED"),
      /^rolled back from 2\.0\.0 to 1\.0\.0: health gate: fleetd: GET \/livez: ECONNREFUSED$/,
    ],
  ])("%s", async (_title, spoil, want) => {
    spoil();
    await publisher.publish("2.0.0");
    await until("1.0.0 runs again", () => isIdleOn("1.0.0") && machine.boots.length > 1);
    expect(agent()?.memory.history.map(describeEntry).at(-1)).toMatch(want);
    // It is offered all the time, and not taken.
    await until("it was looked at again", () => note().startsWith("2.0.0 is denied"));
    await publisher.publish("3.0.0");
    await until("3.0.0 runs", () => isIdleOn("3.0.0"));
    expect(machine.boots.filter((v) => v === "2.0.0").length).toBeLessThanOrEqual(3);
  });
});

describe("a server that is not to be relied on", () => {
  it("dead: said so, and used again when it is back", async () => {
    const { port } = new URL(server.url);
    await server[Symbol.asyncDispose]();
    await until("it is missed", () => note().startsWith("the update server cannot be used: GET"));
    await publisher.publish("2.0.0");
    server = await startServer(Number(port));
    await until("2.0.0 runs", () => isIdleOn("2.0.0"));
  });

  it("a commit that nobody trusted has signed is refused", async () => {
    await publisher.publish("2.0.0", { key: generateKeys() });
    await until("it is given up", () => agent()?.phase.state === "abandoned");
    expect(note()).toMatch(/^the commit was not pulled: refused commit [0-9a-f]{64} of http/);
    expect(machine.boots).toEqual(["1.0.0"]);
    await publisher.publish("3.0.0");
    await until("3.0.0 runs", () => isIdleOn("3.0.0"));
  });

  it("an old commit under a new name is refused, though its signature is good", async () => {
    await publisher.publish("1.1.0", { calledVersion: "9.0.0" });
    await until("it is given up", () => agent()?.phase.state === "abandoned");
    expect(note()).toMatch(/it is version 1\.1\.0, but the server calls it 9\.0\.0$/);
  });

  it("an old release that it calls the newest is refused, though it is what it says", async () => {
    await publisher.publish("0.9.0", { timestamp: 900 });
    await until("it is given up", () => agent()?.phase.state === "abandoned");
    expect(note()).toMatch(/it is of 1970-01-01T00:15:00\.000Z, older than 1970-01-01T00:16:40\.000Z/);
  });

  it("a commit that it does not have", async () => {
    await publisher.publish("2.0.0");
    const text = await readFile(join(publisher.root, "releases/stable.json"), "utf8");
    await machine.stopAgent();
    await publisher.write(text.replaceAll(publisher.commits.get("2.0.0") ?? "", "f".repeat(64)));
    await machine.startAgent();
    await until("it is missed", () => agent()?.phase.state === "available");
    expect(note()).toMatch(/objects\/ff\/f+\.commit/);
    await publisher.write(text);
    await until("2.0.0 runs", () => isIdleOn("2.0.0"));
  });

  it("an object that was cut off is refused, and fetched when it is whole", async () => {
    await machine.stopAgent();
    const large = { "usr/lib/large": "x".repeat(200_000) };
    await publisher.publish("2.0.0", { files: large });
    const repo = join(publisher.root, "repo");
    const path = await findLargest(repo);
    const whole = await readFile(path);
    await truncate(path, whole.length - 10);
    await machine.startAgent();
    await until("it is noticed", () => agent()?.phase.state === "available");
    expect(machine.boots).toEqual(["1.0.0"]);
    await writeFile(path, whole);
    await until("2.0.0 runs", () => isIdleOn("2.0.0"));
  });
});

it("without room it says so and nothing is broken; with room it goes on", async () => {
  const config = join(machine.root, "ostree/repo/config");
  const before = await readFile(config, "utf8");
  await writeFile(config, before.replace("[core]\n", "[core]\nmin-free-space-size=9000TB\n"));
  await publisher.publish("2.0.0");
  await until("it is noticed", () => agent()?.phase.state === "available");
  expect(note()).toMatch(/no space below .* then try again/s);
  expect(machine.boots).toEqual(["1.0.0"]);
  await writeFile(config, before);
  await until("2.0.0 runs", () => isIdleOn("2.0.0"));
});

async function findLargest(repo: string): Promise<string> {
  const { readdir, stat } = await import("node:fs/promises");
  const files = (await readdir(join(repo, "objects"), { recursive: true })).filter((name) => name.endsWith(".filez"));
  const sized = await Promise.all(
    files.map(async (name) => ({ name, size: (await stat(join(repo, "objects", name))).size })),
  );
  const largest = sized.toSorted((a, b) => b.size - a.size)[0];
  return join(repo, "objects", largest?.name ?? "");
}
