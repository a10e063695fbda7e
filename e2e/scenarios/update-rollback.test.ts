import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { whyNot, whyNotFull } from "../harness/kinds.ts";
import type { Variant } from "../harness/releases.ts";
import { Timeline } from "../harness/timeline.ts";
import { ROOT } from "../harness/tools.ts";
import { UpdateCluster } from "../harness/update-cluster.ts";

/** Three tries of a system that hangs, and a boot of the old one. */
const ROLLBACK_MS = 600_000;

/** What is wrong with a release, and what `osctl update status` must say of it. */
interface BadRelease {
  readonly name: string;
  readonly variant: Variant;
  readonly reason: RegExp;
}

const BAD_RELEASES: readonly BadRelease[] = [
  {
    name: "the kernel panics",
    // The kernel starts its first program and that ends at once.
    variant: { initramfsInit: "#!/bin/sh\nexit 1\n" },
    reason: /no sign of life: the kernel panicked or hung before the initramfs/,
  },
  {
    name: "the initramfs hangs",
    variant: {
      initramfsInit: readFileSync(`${ROOT}image/initramfs/init`, "utf8").replace(
        /^mount -t ext4 .*"\$rootdev"/m,
        (mount) => `busybox sleep 100000\n${mount}`,
      ),
      kernelArguments: "keelson.deadman=10",
    },
    reason: /stuck in the initramfs before the root was mounted/,
  },
  {
    name: "fleetd never becomes healthy",
    variant: {
      files: { "usr/lib/systemd/system/fleetd.service.d/bad.conf": "[Service]\nExecStart=\nExecStart=/bin/false\n" },
    },
    reason: /the health gate was red.*fleetd/,
  },
];

const firmwares = (process.env["KEELSON_E2E_FIRMWARE"] ?? "bios,uefi").split(",") as ("bios" | "uefi" | "direct")[];
const reason = whyNot("qemu") ?? whyNotFull();
if (reason !== undefined) process.stdout.write(`skipped: rollbacks: ${reason}\n`);

describe.skipIf(reason !== undefined).each(firmwares)("a bad release (%s)", (firmware) => {
  let updates: UpdateCluster | undefined;
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") await updates?.keepEvidence(`update-rollback-${firmware}`);
    await updates?.[Symbol.asyncDispose]();
    updates = undefined;
  });

  it.each(BAD_RELEASES)(
    "$name: the machine is back by itself and says why, no other is touched, the next release goes through",
    async (bad) => {
      const timeline = new Timeline();
      updates = await UpdateCluster.start({
        machines: 2,
        firmware,
        timeline,
        settings: { UPDATED_HEALTH_DEADLINE_SECS: "90", UPDATED_LOCK_MAY_LOSE_QUORUM: "true" },
      });
      const { machines, releases } = updates;
      await releases.publish("2.0.0", bad.variant);
      timeline.add("harness", `published 2.0.0: ${bad.name}`);

      const all = machines.map(async (machine) => ({
        machine,
        status: await updates?.waitForStatus(
          machine,
          "denies 2.0.0",
          ({ denied, booted }) => booted.version === "1.0.0" && denied.some((d) => d.version === "2.0.0"),
          ROLLBACK_MS,
        ),
      }));
      const [first] = await Promise.all(all);
      const statuses = await Promise.all(all);
      const rolledBack = statuses.filter(({ status }) => status?.last?.text.startsWith("rolled back"));
      for (const { machine, status } of statuses)
        timeline.add(machine.spec.name, status?.last?.text ?? "was not touched");
      expect(first).toBeDefined();
      expect(rolledBack).toHaveLength(1);
      expect(rolledBack[0]?.status?.last?.text).toMatch(/^rolled back from 2\.0\.0 to 1\.0\.0: /);
      expect(rolledBack[0]?.status?.last?.text).toMatch(bad.reason);
      expect(await updates.lockHolders()).toEqual([]);

      await releases.publish("3.0.0");
      timeline.add("harness", "published 3.0.0");
      for (const machine of machines) {
        const { booted } = await updates.waitForStatus(
          machine,
          "runs 3.0.0",
          (s) => s.booted.version === "3.0.0" && !s.booted.onTrial,
          ROLLBACK_MS,
        );
        timeline.add(machine.spec.name, `runs ${booted.version}`);
      }
    },
  );
});
