import { readFile, rm, writeFile } from "node:fs/promises";
import { EtcdClient } from "@keelson/etcd-client";
import { EtcdLockStore, Semaphore } from "@keelson/locksmith";
import { eventually, type TempDir, tempDir } from "@keelson/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startOurs, type TestEtcd } from "./etcds.ts";
import { FakeMachine } from "./fake-machine.ts";

let etcd: TestEtcd;
let client: EtcdClient;
let dir: TempDir;
let count = 0;
let machines: FakeMachine[];

beforeAll(async () => {
  etcd = await startOurs();
  client = new EtcdClient({ endpoints: etcd.endpoints });
  dir = await tempDir("locksmithd");
});
afterAll(async () => {
  client.close();
  await etcd[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});
beforeEach(async () => {
  machines = [];
  await client.delete({ prefix: "" });
});
afterEach(async () => {
  for (const machine of machines) await machine[Symbol.asyncDispose]();
});

async function machine(id: string, env: Record<string, string> = {}): Promise<FakeMachine> {
  const endpoint = etcd.endpoints[0] ?? "";
  const made = await FakeMachine.make(id, dir.join(String(count++)), {
    REBOOT_STRATEGY: "etcd-lock",
    LOCKSMITHD_ENDPOINT: endpoint,
    ...env,
  });
  machines.push(made);
  return made;
}

const semaphore = () => new Semaphore({ store: new EtcdLockStore(client) });
const holders = async () => (await semaphore().status()).holders.map(({ id }) => id);

describe("locksmithd", () => {
  it("cl.locksmith.cluster: three that want to reboot at once do so one after the other, each once", async () => {
    const three = await Promise.all(["m1", "m2", "m3"].map((id) => machine(id)));
    let down = 0;
    const order: string[] = [];
    for (const one of three) {
      one.start();
      await one.daemon.waitForLine(/locksmithd is running/);
    }
    const live = async (one: FakeMachine) => {
      await one.needReboot("VERSION=2.0\n");
      await one.untilRebooting();
      expect(++down).toBe(1);
      order.push(one.id);
      expect(await one.coordinatorState()).toMatch(/^(reboot-planned|rebooting)$/);
      await one.powerOff();
      expect(await holders()).toEqual([one.id]);
      // It comes back, and keeps the lock until it is well.
      await one.setState("starting");
      one.start();
      await one.daemon.waitForLine(/kept until the system runs/);
      expect(await holders()).toEqual([one.id]);
      down--;
      await one.setState("running");
      await one.daemon.waitForLine(/Unlocked existing lock for this machine/);
    };
    await Promise.all(three.map(live));
    expect(order.toSorted()).toEqual(["m1", "m2", "m3"]);
    expect(await holders()).toEqual([]);
    expect((await client.range({ prefix: "coreos.com/updateengine/rollout/" })).kvs).toEqual([]);
  });

  it("coreos.locksmith.reboot: the strategy reboot needs no etcd", async () => {
    const one = await machine("m1", { REBOOT_STRATEGY: "reboot", LOCKSMITHD_ENDPOINT: "http://127.0.0.1:1" });
    one.start();
    await one.needReboot();
    await one.untilRebooting();
    expect(await one.calls()).toEqual(["reboot --check-inhibitors=yes"]);
    await eventually(async () => (await one.coordinatorState()) === "rebooting");
    expect(await readFile(one.path("coordinator.conf"), "utf8")).toBe(
      "NAME=locksmithd\nSTATE=rebooting\nSTRATEGY=reboot\n",
    );
  });

  it("killed while it holds the lock: its next life gives it back, and takes it again when it is due", async () => {
    const one = await machine("m1");
    await writeFile(one.path("inhibited"), ""); // holds the lock and does not get to reboot
    one.start({ LOCKSMITHD_INHIBIT_MAX: "1h" });
    await one.needReboot();
    await one.daemon.waitForLine(/Operation inhibited by a test.*held up/);
    expect(await holders()).toEqual(["m1"]);
    one.daemon.killTree("SIGKILL");
    await one.daemon.waitForExit();
    await rm(one.path("inhibited"));
    one.start();
    await one.daemon.waitForLine(/Unlocked existing lock/); // although a reboot is due already (Flatcar#408)
    await one.untilRebooting();
    expect(await holders()).toEqual(["m1"]);
  });

  it("inhibitors are respected, but not for ever", async () => {
    const one = await machine("m1");
    await writeFile(one.path("inhibited"), "");
    one.start({ LOCKSMITHD_INHIBIT_MAX: "1s" });
    await one.needReboot();
    await one.untilRebooting();
    expect((await one.calls()).filter((call) => call.startsWith("reboot"))).toEqual([
      "reboot --check-inhibitors=yes",
      "reboot -i",
    ]);
  });

  it("told to end while it waits, it leaves the queue and ends with 0", async () => {
    await semaphore().lock("other", { kind: "manual" });
    const one = await machine("m1");
    one.start();
    await one.needReboot();
    await one.daemon.waitForLine(/semaphore is at 0.*waiting for the reboot lock/);
    await eventually(async () => (await semaphore().status()).waiters.length === 1);
    one.daemon.kill("SIGTERM");
    expect((await one.daemon.waitForExit()).code).toBe(0);
    expect((await semaphore().status()).waiters).toEqual([]);
    expect(await holders()).toEqual(["other"]);
  });

  it("off: ends with 0 and says so, and leaves no lock behind (bugs#1219)", async () => {
    const hold = await semaphore().lock("m1");
    hold.letGo();
    const one = await machine("m1", { REBOOT_STRATEGY: "off" });
    one.start();
    expect((await one.daemon.waitForExit()).code).toBe(0);
    expect(await one.coordinatorState()).toBe("disabled");
    expect(await holders()).toEqual([]);
  });

  it.each([
    [{ REBOOT_STRATEGY: "sometimes" }, "locksmithd: unknown strategy: sometimes"],
    [{ LOCKSMITHD_REBOOT_WINDOW_START: "04:00" }, "locksmithd: Either both or neither"],
  ])("%j: ends with 1 and says why", async (env, text) => {
    const one = await machine("m1");
    one.start(env as Record<string, string>);
    expect((await one.daemon.waitForExit()).code).toBe(1);
    expect(one.daemon.output("stderr")).toContain(text);
  });
});
