import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type GcPod, planGc } from "./gc.ts";
import {
  appStatuses,
  type EndRecord,
  type PodFacts,
  parseEnd,
  parseServices,
  podState,
  type RunRecord,
  type ServiceFacts,
} from "./state.ts";
import { ago, formatTable } from "./table.ts";

const BOOT = "boot-1";
const RUN: RunRecord = { mode: "units", services: { web: "rkt-1-web.service" }, bootId: BOOT, startedAtMs: 1 };
const SERVICE: ServiceFacts = {
  loadState: "loaded",
  activeState: "active",
  subState: "running",
  result: "success",
  mainPid: 42,
  execMainCode: 0,
  execMainStatus: 0,
  restarts: 2,
  invocationId: "abc",
  controlGroup: "/rkt.slice/x",
};

function facts(change: Partial<PodFacts> & { service?: Partial<ServiceFacts>; end?: EndRecord } = {}): PodFacts {
  const { service, end, ...rest } = change;
  return {
    phase: "run",
    isBeingPrepared: false,
    run: RUN,
    bootId: BOOT,
    isProcessAlive: false,
    services:
      service === undefined && "service" in change
        ? new Map()
        : new Map([["rkt-1-web.service", { ...SERVICE, ...service }]]),
    ends: end === undefined ? new Map() : new Map([["web", end]]),
    ...rest,
  };
}

describe("a pod's state", () => {
  it.each<[string, PodFacts, string]>([
    ["its service is active", facts(), "running"],
    [
      "its service waits for its restart",
      facts({ service: { activeState: "activating", subState: "auto-restart" } }),
      "running",
    ],
    ["its service has failed", facts({ service: { activeState: "failed" } }), "exited"],
    ["its service is forgotten", facts({ services: new Map() }), "exited"],
    ["the machine was booted since", facts({ bootId: "boot-2" }), "exited"],
    ["a unit's pod after a boot", facts({ run: { ...RUN, mode: "unit" }, bootId: "boot-2" }), "running"],
    ["its record is lost", { ...facts(), run: undefined } as unknown as PodFacts, "exited"],
    ["in the foreground, alive", facts({ run: { ...RUN, mode: "foreground" }, isProcessAlive: true }), "running"],
    ["in the foreground, gone", facts({ run: { ...RUN, mode: "foreground" } }), "exited"],
    [
      "in the foreground, before a boot",
      facts({ run: { ...RUN, mode: "foreground" }, isProcessAlive: true, bootId: "boot-2" }),
      "exited",
    ],
    ["prepared", facts({ phase: "prepared" }), "prepared"],
    ["preparing", facts({ phase: "prepare", isBeingPrepared: true }), "preparing"],
    ["its preparer died", facts({ phase: "prepare" }), "aborted prepare"],
    ["embryo", facts({ phase: "embryo" }), "embryo"],
    ["marked", facts({ phase: "exited-garbage" }), "exited garbage"],
    ["garbage", facts({ phase: "garbage" }), "garbage"],
  ])("%s", (_title, given, want) => expect(podState(given)).toBe(want));

  it("tells how an app ended", () => {
    const [app] = appStatuses(
      ["web"],
      facts({ services: new Map(), end: { result: "oom-kill", exitCode: 137, signal: "KILL", endedAtMs: 5 } }),
    );
    expect(app).toEqual({
      name: "web",
      isRunning: false,
      result: "oom-kill",
      exitCode: 137,
      signal: "KILL",
      restarts: 0,
      endedAtMs: 5,
    });
    expect(appStatuses(["web"], facts())).toEqual([{ name: "web", isRunning: true, pid: 42, restarts: 2 }]);
    const failed = { activeState: "failed", result: "exit-code", execMainCode: 1, execMainStatus: 3, endedAtMs: 7 };
    expect(appStatuses(["web"], facts({ service: failed }))).toMatchObject([
      { exitCode: 3, result: "exit-code", isRunning: false },
    ]);
    // Another run of the same service says nothing about this pod.
    const foreground = { ...RUN, mode: "foreground" as const, invocationId: "other" };
    expect(appStatuses(["web"], facts({ run: foreground, service: failed }))).toEqual([
      { name: "web", isRunning: false, restarts: 0 },
    ]);
  });

  it("reads what rt-stop notes", () => {
    expect(parseEnd("result=exit-code\ncode=exited\nstatus=3\nended=17\nboot=x\n")).toEqual({
      result: "exit-code",
      exitCode: 3,
      endedAtMs: 17,
    });
    expect(parseEnd("result=signal\ncode=killed\nstatus=TERM\nended=17\n")).toEqual({
      result: "signal",
      signal: "TERM",
      exitCode: 143,
      endedAtMs: 17,
    });
    expect(parseEnd("")).toBeUndefined();
    fc.assert(fc.property(fc.string(), (text) => void parseEnd(text)));
    fc.assert(fc.property(fc.string(), (text) => void parseServices(text)));
  });

  it("reads systemctl show", () => {
    const text =
      "Id=a.service\nLoadState=loaded\nActiveState=failed\nResult=exit-code\nExecMainStatus=3\nExecMainCode=1\nExecMainExitTimestamp=@1700000000\n\nId=b.service\nLoadState=not-found\n";
    const services = parseServices(text);
    expect(services.get("a.service")).toMatchObject({
      activeState: "failed",
      execMainStatus: 3,
      endedAtMs: 1_700_000_000_000,
    });
    expect(services.get("b.service")).toMatchObject({ loadState: "not-found", mainPid: 0 });
  });
});

describe("gc", () => {
  const options = { nowMs: 10_000_000, graceMs: 1000, preparedMs: 5000, isMarkOnly: false };
  const pod = (state: GcPod["state"], sinceMs = 0, isKept = false): GcPod => ({ uuid: "u", state, sinceMs, isKept });
  const show = (actions: ReturnType<typeof planGc>) =>
    actions.map((action) => (action.action === "mark" ? `mark ${action.to}` : "delete")).join(", ");
  it.each<[GcPod, Partial<typeof options>, string]>([
    [pod("running"), {}, ""],
    [pod("preparing"), {}, ""],
    [pod("prepared", 9_999_000), {}, ""],
    [pod("prepared"), {}, "mark garbage, delete"],
    [pod("aborted prepare", 10_000_000), {}, "mark garbage, delete"],
    [pod("embryo", 9_999_999), {}, ""],
    [pod("embryo"), {}, "mark garbage, delete"],
    [pod("exited"), {}, "mark exited-garbage"],
    [pod("exited"), { graceMs: 0 }, "mark exited-garbage, delete"],
    [pod("exited", 0, true), { graceMs: 0 }, ""],
    [pod("exited garbage", 9_999_500), {}, ""],
    [pod("exited garbage"), {}, "delete"],
    [pod("garbage", 10_000_000), {}, "delete"],
    [pod("garbage"), { isMarkOnly: true }, ""],
    [pod("aborted prepare"), { isMarkOnly: true }, "mark garbage"],
  ])("%j %j: %s", (given, change, want) => expect(show(planGc([given], { ...options, ...change }))).toBe(want));
});

it("lays out tables with tabs", () => {
  expect(
    formatTable([
      ["UUID", "APP"],
      ["12345678", "x"],
      ["", "y"],
    ]),
  ).toBe("UUID\t\tAPP\n12345678\tx\n\t\ty\n");
  expect([ago(0, 59_000), ago(0, 3_600_000), ago(5, 0)]).toEqual(["59 seconds ago", "1 hour ago", "now"]);
});
