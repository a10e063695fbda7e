import { SimClock } from "@keelson/testkit";
import { silentLogger } from "@keelson/types";
import { describe, expect, it } from "vitest";
import { type Check, LocalHealthGate, type Verdict } from "./gate.ts";

const NEVER = new AbortController().signal;
const check = (name: string, looks: (() => Promise<Verdict>)[], isRequired = true): Check => ({
  name,
  isRequired,
  look: () => (looks.length > 1 ? looks.shift() : looks[0])?.() ?? Promise.reject(new Error("none left")),
});
const passed = async (): Promise<Verdict> => ({ outcome: "passed", detail: "" });
const failed = (detail: string) => async (): Promise<Verdict> => ({ outcome: "failed", detail });
const hangs = () => new Promise<Verdict>(() => {});

async function run(checks: Check[], deadlineMs = 10_000, signal = NEVER) {
  const clock = new SimClock();
  const gate = new LocalHealthGate([async () => checks], clock, silentLogger);
  const [report] = await Promise.all([gate.run({ deadlineMs, isTrial: true, signal }), clock.runAsync(deadlineMs + 1)]);
  return report;
}

describe("the gate", () => {
  it("is green when each required check has passed once, however late", async () => {
    const report = await run([check("etcd", [failed("starting"), failed("starting"), passed]), check("x", [passed])]);
    expect(report).toMatchObject({ isGreen: true, reason: "" });
    // 500 ms and 1 s between the three looks.
    expect(report.results.map((r) => r.tookMs)).toEqual([1_500, 0]);
  });

  it("without any check it is green", async () => {
    expect(await run([])).toEqual({ isGreen: true, reason: "", results: [] });
  });

  it("is red after the deadline, with the last reason of each", async () => {
    const looks = [failed("starting"), failed("no leader")];
    const throws = () => Promise.reject(new Error("outer", { cause: new Error("inner") }));
    const report = await run([check("etcd", looks), check("fleetd", [throws]), check("ok", [passed])]);
    expect(report.isGreen).toBe(false);
    expect(report.reason).toBe("etcd: no leader; fleetd: outer: inner");
  });

  it("does not wait for a check that hangs and hears no signal", async () => {
    const report = await run([check("stuck", [hangs]), check("later stuck", [failed("why"), hangs])]);
    expect(report.results.map((r) => [r.name, r.outcome, r.detail])).toEqual([
      ["stuck", "timed-out", "it gave no answer"],
      ["later stuck", "failed", "why"],
    ]);
    expect(report.isGreen).toBe(false);
  });

  it("what is only wanted is asked once and turns nothing red; skipped is no failure", async () => {
    let looks = 0;
    const dns = {
      ...check("dns", [failed("no answer")], false),
      look: async () => (looks++, await failed("no answer")()),
    };
    const skipped = check("gpu", [async () => ({ outcome: "skipped", detail: "no such device" })]);
    const report = await run([dns, skipped]);
    expect(report.isGreen).toBe(true);
    expect(looks).toBe(1);
    expect(report.results.map((r) => r.outcome)).toEqual(["failed", "skipped"]);
  });

  it("rejects when it is aborted from outside", async () => {
    await expect(run([check("x", [failed("y")])], 10_000, AbortSignal.abort(new Error("stop")))).rejects.toThrow(
      "stop",
    );
  });
});
