import { waitFor } from "@keelson/cluster";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { whyNot, whyNotFull } from "../harness/kinds.ts";
import { WebProber } from "../harness/prober.ts";
import { TestRegistry, webImage, whyNoRegistry } from "../harness/registry.ts";
import { Timeline } from "../harness/timeline.ts";
import { containerUnit, databaseUnit } from "../harness/units.ts";
import { UpdateCluster, WEB_PORT } from "../harness/update-cluster.ts";
import { EtcdWriter } from "../harness/writer.ts";

/** One machine: pull, deploy, reboot, boot, health gate; under emulation, with two others beside it. */
const MACHINE_UPDATE_MS = 300_000;

const reason = whyNot("qemu") ?? whyNotFull() ?? whyNoRegistry();
if (reason !== undefined) process.stdout.write(`skipped: the update of a cluster: ${reason}\n`);

describe.skipIf(reason !== undefined)("three machines update themselves", () => {
  const timeline = new Timeline();
  let registry: TestRegistry;
  let updates: UpdateCluster;

  beforeAll(async () => {
    registry = await TestRegistry.start();
    await registry.push("web:1", webImage("hello from a container", WEB_PORT));
    updates = await UpdateCluster.start({ machines: 3, timeline, services: { registry: registry.port } });
  });
  afterAll(async () => {
    await updates?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
  });
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") await updates?.keepEvidence("update-story");
  });

  it("one at a time, while a client writes and the web is asked: nothing acknowledged is lost, nothing stops", async () => {
    const { cluster, machines } = updates;
    const { host, port } = updates.provider.serviceAddress("registry");
    const web = await cluster.unitFile(
      "web@.service",
      containerUnit(`${host}:${port}/web:1`, ["Conflicts=web@*.service"]),
    );
    const database = await cluster.unitFile("database.service", databaseUnit());
    const instances = ["1", "2"].map((i) => web.replace("@.", `@${i}.`));
    await cluster.fleetctl(["start", "--no-block", ...instances, database]);
    const rows = await cluster.waitForUnits(
      "web@1, web@2 and database run",
      (all) => all.length === 3 && all.every((r) => r.active === "active"),
      30_000,
    );
    for (const row of rows) timeline.add(row.machine, `${row.unit} runs`);
    const homes = rows.filter((row) => row.unit.startsWith("web@")).map((row) => row.machine);
    expect(new Set(homes).size).toBe(2);

    for (const machine of machines) {
      await machine.exec(
        `echo "edited by hand on ${machine.spec.name}" > /etc/motd && echo kept > /var/lib/operator-note`,
      );
    }
    const boots = new Map(await Promise.all(machines.map(async (m) => [m.spec.name, await m.bootId()] as const)));

    await using writer = new EtcdWriter({ endpoints: machines.map((m) => m.etcdUrl) });
    await using prober = new WebProber({
      urls: machines.map((m) => m.urlOf(WEB_PORT)),
      onChange: (isUp, s) => timeline.add("web", isUp ? `answers (after ${s.toFixed(1)} s)` : `does not answer`),
    });
    await waitFor("the web answers", async () => (prober.isUp ? true : undefined), { timeoutMs: 60_000 });

    const next = await updates.releases.publish("2.0.0");
    timeline.add("harness", `published 2.0.0 (${next.seconds.toFixed(1)} s)`);
    const order = await watchRollout(updates, "2.0.0");

    const written = await writer.finish();
    const asked = await prober.finish();
    timeline.add(
      "writer",
      `${written.acknowledged} writes acknowledged, ${written.lost.length} lost, longest pause ${written.longestGapS.toFixed(1)} s`,
    );
    timeline.add(
      "web",
      `asked ${asked.asked} times, answered ${asked.answered}, longest gap ${Math.max(0, ...asked.gaps.map((g) => g.lengthS)).toFixed(1)} s`,
    );
    expect(written.lost).toEqual([]);
    // Etcd chooses a leader anew when one reboots; two machines are up at any time.
    expect(written.longestGapS).toBeLessThan(30);
    expect(asked.gaps.map((gap) => gap.lengthS).filter((s) => s > 10)).toEqual([]);
    expect(order).toHaveLength(3);
    for (const machine of machines) {
      expect(await updates.version(machine)).toBe("2.0.0");
      expect(await machine.bootId()).not.toBe(boots.get(machine.spec.name));
      const kept = await machine.exec("cat /etc/motd /var/lib/operator-note; cat /usr/share/keelson/release-note");
      expect(kept.stdout).toBe(`edited by hand on ${machine.spec.name}\nkept\nthis is 2.0.0\n`);
    }
    await cluster.waitForUnits(
      "all units run",
      (all) => all.length === 3 && all.every((r) => r.active === "active"),
      30_000,
    );
  });
});

/** Follows a rollout until every machine runs the version and nobody holds the lock. Returns the order of the machines. */
async function watchRollout(updates: UpdateCluster, version: string): Promise<string[]> {
  const { timeline, machines } = updates;
  const order: string[] = [];
  let holder = "";
  await waitFor(
    `every machine runs ${version}`,
    async () => {
      const holders = await updates.lockHolders();
      expect(holders.length, `holders of the reboot lock: ${holders.join(", ")}`).toBeLessThanOrEqual(1);
      const now = holders[0] ?? "";
      if (now !== holder) {
        if (holder !== "") timeline.add(holder, "gives the reboot lock back");
        if (now !== "") {
          timeline.add(now, "takes the reboot lock");
          order.push(now);
        }
        holder = now;
      }
      if (now !== "" || new Set(order).size < machines.length) return undefined;
      return order;
    },
    { timeoutMs: MACHINE_UPDATE_MS * machines.length, everyMs: 500 },
  );
  return order;
}
