import { findProgram } from "@keelson/image-builder";
import { Prng } from "@keelson/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { checkCrashState } from "../harness/crash-check.ts";
import { whyNot, whyNotFull } from "../harness/kinds.ts";
import { Timeline } from "../harness/timeline.ts";
import { UpdateCluster } from "../harness/update-cluster.ts";

/** Moments of one recorded update at which the power is cut, looked at on the disk. */
const MOMENTS = 40;
/** How many of them are booted, and the update then completed; minutes each under emulation. */
const BOOTED = Number(process.env["KEELSON_POWER_CUTS"] ?? 1);
const UPDATE_MS = 600_000;

const missing = ["e2fsck", "debugfs", "sfdisk"].filter((name) => findProgram(name) === undefined);
const reason =
  whyNot("qemu") ?? whyNotFull() ?? (missing.length > 0 ? `the host lacks ${missing.join(", ")}` : undefined);
if (reason !== undefined) process.stdout.write(`skipped: power cuts during an update: ${reason}\n`);

describe.skipIf(reason !== undefined)("the power is cut during an update", () => {
  const seed = process.env["SEED"] ?? String(Date.now());
  process.stdout.write(`power cuts: SEED=${seed}\n`);
  const random = new Prng(seed);
  const timeline = new Timeline();
  let updates: UpdateCluster;
  /** Disk requests between the release of 2.0.0 and the machine's being steady on it. */
  let window = { from: 0, to: 0 };
  let moments: number[] = [];

  const machine = () => {
    const [first] = updates.machines;
    if (first === undefined) throw new Error("no machine");
    return first;
  };
  const isDone = () =>
    updates.waitForStatus(
      machine(),
      "2.0.0 is good",
      ({ booted }) => booted.version === "2.0.0" && !booted.onTrial,
      UPDATE_MS,
    );

  beforeAll(async () => {
    updates = await UpdateCluster.start({
      machines: 1,
      disk: "volatile-cache",
      recordDisk: true,
      random: () => random.float(),
      timeline,
    });
  }, 900_000);
  afterAll(async () => await updates?.[Symbol.asyncDispose]());
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") await updates?.keepEvidence("update-power-cut");
  });

  it("once, for real, in the middle; and the update completes", { timeout: UPDATE_MS + 300_000 }, async () => {
    const from = machine().diskRequests;
    await updates.releases.publish("2.0.0");
    timeline.add("harness", "published 2.0.0");
    await updates.waitForStatus(machine(), "it is being fetched", ({ state }) => !isResting(state), UPDATE_MS);
    await machine().powerCut();
    await machine().restart();
    await isDone();
    window = { from, to: machine().diskRequests };
    timeline.add("harness", `2.0.0 is good; ${window.to - window.from} disk requests since it was published`);
    await machine().powerCut();
    expect(window.to).toBeGreaterThan(window.from + MOMENTS);
  });

  it(`at ${MOMENTS} moments: the disk boots 1.0.0 or 2.0.0, whole`, { timeout: 1_200_000 }, async () => {
    moments = Array.from({ length: MOMENTS }, () => random.between(window.from, window.to)).sort((a, b) => a - b);
    const found: string[] = [];
    for (const moment of moments) {
      const { lostWrites, tornWrites } = await machine().rewindDisk(moment, "some", () => random.float());
      const where = `${moment} of ${window.from} to ${window.to} (${lostWrites} lost, ${tornWrites} torn)`;
      const { version } = await checkCrashState(machine().diskPath).catch((cause: unknown) => {
        throw new Error(`power cut at disk request ${where}: SEED=${seed}`, { cause });
      });
      found.push(version);
    }
    timeline.add("harness", `of ${MOMENTS} cuts, ${found.filter((v) => v === "2.0.0").length} boot 2.0.0`);
    expect(new Set(found).difference(new Set(["1.0.0", "2.0.0"]))).toEqual(new Set());
    // Once the switch is made it stays.
    expect(found).toEqual(found.toSorted());
  });

  it(`${BOOTED} of them are booted, and the update completes`, {
    timeout: BOOTED * (UPDATE_MS + 300_000),
  }, async () => {
    for (let i = 0; i < BOOTED; i++) {
      const moment = moments[random.below(moments.length)] ?? 0;
      await machine().rewindDisk(moment, "some", () => random.float());
      await machine().restart();
      const version = await updates.version(machine());
      timeline.add("m1", `power cut at disk request ${moment - window.from}: it boots ${version ?? "what?"}`);
      expect(["1.0.0", "2.0.0"]).toContain(version);
      await isDone();
      await machine().powerCut();
    }
  });
});

/** Whether the agent has nothing to do, as far as it knows. */
function isResting(state: string): boolean {
  return ["starting", "idle", "checking", "good"].includes(state);
}
