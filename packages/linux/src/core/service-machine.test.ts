import { parseUnit } from "@keelson/unit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseService } from "./service-config.ts";
import { type ServiceEffect, type ServiceEvent, ServiceMachine } from "./service-machine.ts";

const machine = (lines: string, unit = "") =>
  new ServiceMachine(parseService("a.service", parseUnit(`[Unit]\n${unit}\n[Service]\n${lines}\n`), {}));

/** `main/cmd`: the command's path tells which one it is. */
function show(effect: ServiceEffect): string {
  switch (effect.type) {
    case "spawn":
      return `spawn ${effect.role} ${effect.command.path}`;
    case "kill":
      return `kill ${effect.scope} ${effect.signal}`;
    case "watch":
      return `watch ${effect.scope ?? "off"}`;
    case "timer":
      return `timer ${effect.ms ?? "off"}`;
    case "job":
      return `${effect.job}: ${effect.result}`;
    case "note":
      return `note`;
    case "begin":
      return "begin";
  }
}

const EVENTS: Readonly<Record<string, ServiceEvent>> = {
  start: { type: "start" },
  stop: { type: "stop" },
  ready: { type: "ready" },
  timer: { type: "timer" },
  empty: { type: "empty" },
  "main+": { type: "spawned", role: "main", pid: 7 },
  "ctl+": { type: "spawned", role: "control", pid: 8 },
  "main!": { type: "spawn-failed", role: "main", code: 203 },
  "main?": { type: "spawn-failed", role: "main" },
  "main=0": { type: "exited", role: "main", exit: { code: 0 } },
  "main=1": { type: "exited", role: "main", exit: { code: 1 } },
  "main=TERM": { type: "exited", role: "main", exit: { signal: 15 } },
  "main=KILL": { type: "exited", role: "main", exit: { signal: 9 } },
  "ctl=0": { type: "exited", role: "control", exit: { code: 0 } },
  "ctl=1": { type: "exited", role: "control", exit: { code: 1 } },
};

/** Runs events and gives what they did, without timers and notes, as `event > effect, effect [state]` lines. */
function transcript(m: ServiceMachine, events: string): string[] {
  return events.split(" ").map((word) => {
    const event = EVENTS[word];
    if (event === undefined) throw new Error(`no event ${word}`);
    const effects = m.handle(event, 0).filter((e) => e.type !== "timer" && e.type !== "note" && e.type !== "begin");
    return `${word} > ${effects.map(show).join(", ")} [${m.state}]`.replace(">  [", "> [");
  });
}

describe("ServiceMachine", () => {
  it.each([
    [
      "a simple service runs and is stopped",
      "ExecStart=/m",
      "start main+ stop main=TERM empty empty",
      [
        "start > spawn main /m [start]",
        "main+ > start: done [running]",
        "stop > kill all 15, watch all [stop-sigterm]",
        "main=TERM > [stop-sigterm]",
        "empty > watch off, kill all 15, watch all [final-sigterm]",
        "empty > watch off, stop: done [dead]",
      ],
    ],
    [
      "all commands in their order",
      "ExecStartPre=/p\nExecStart=/m\nExecStartPost=/q\nExecStop=/s\nExecStopPost=/t",
      "start ctl+ ctl=0 main+ ctl+ ctl=0 stop ctl+ ctl=0 main=TERM empty ctl+ ctl=0 empty",
      [
        "start > spawn control /p [start-pre]",
        "ctl+ > [start-pre]",
        "ctl=0 > spawn main /m [start]",
        "main+ > spawn control /q [start-post]",
        "ctl+ > [start-post]",
        "ctl=0 > start: done [running]",
        "stop > spawn control /s [stop]",
        "ctl+ > [stop]",
        "ctl=0 > kill all 15, watch all [stop-sigterm]",
        "main=TERM > [stop-sigterm]",
        "empty > watch off, spawn control /t [stop-post]",
        "ctl+ > [stop-post]",
        "ctl=0 > kill all 15, watch all [final-sigterm]",
        "empty > watch off, stop: done [dead]",
      ],
    ],
    [
      "a oneshot's commands in turn",
      "Type=oneshot\nExecStart=/a\nExecStart=/b",
      "start main+ main=0 main+ main=0 empty empty",
      [
        "start > spawn main /a [start]",
        "main+ > [start]",
        "main=0 > spawn main /b [start]",
        "main+ > [start]",
        "main=0 > kill all 15, watch all [stop-sigterm]",
        "empty > watch off, kill all 15, watch all [final-sigterm]",
        "empty > watch off, start: done [dead]",
      ],
    ],
    [
      "a oneshot that remains",
      "Type=oneshot\nRemainAfterExit=yes\nExecStart=/a",
      "start main+ main=0 start",
      [
        "start > spawn main /a [start]",
        "main+ > [start]",
        "main=0 > start: done [exited]",
        "start > start: done [exited]",
      ],
    ],
    [
      "a notify service waits for readiness",
      "Type=notify\nExecStart=/m",
      "start main+ ready ready",
      ["start > spawn main /m [start]", "main+ > [start]", "ready > start: done [running]", "ready > [running]"],
    ],
    [
      "a failing ExecStartPre skips ExecStop",
      "ExecStartPre=/p\nExecStart=/m\nExecStop=/s",
      "start ctl+ ctl=1 empty empty",
      [
        "start > spawn control /p [start-pre]",
        "ctl+ > [start-pre]",
        "ctl=1 > kill all 15, watch all [stop-sigterm]",
        "empty > watch off, kill all 15, watch all [final-sigterm]",
        "empty > watch off, start: failed [failed]",
      ],
    ],
    [
      "a restart after a crash",
      "ExecStart=/m\nRestart=on-failure",
      "start main+ main=KILL empty empty timer main+",
      [
        "start > spawn main /m [start]",
        "main+ > start: done [running]",
        "main=KILL > kill all 15, watch all [stop-sigterm]",
        "empty > watch off, kill all 15, watch all [final-sigterm]",
        "empty > watch off [auto-restart]",
        "timer > spawn main /m [start]",
        "main+ > [running]",
      ],
    ],
    [
      "a start while it stops waits for the end",
      "ExecStart=/m",
      "start main+ stop start main=TERM empty empty timer main+",
      [
        "start > spawn main /m [start]",
        "main+ > start: done [running]",
        "stop > kill all 15, watch all [stop-sigterm]",
        "start > stop: canceled [stop-sigterm]",
        "main=TERM > [stop-sigterm]",
        "empty > watch off, kill all 15, watch all [final-sigterm]",
        "empty > watch off [dead]",
        "timer > spawn main /m [start]",
        "main+ > start: done [running]",
      ],
    ],
    [
      "a stop cancels a start, also one that waits",
      "ExecStart=/m",
      "start stop start stop main=TERM empty empty",
      [
        "start > spawn main /m [start]",
        "stop > start: canceled, kill all 15, watch all [stop-sigterm]",
        "start > stop: canceled [stop-sigterm]",
        "stop > start: canceled [stop-sigterm]",
        "main=TERM > [stop-sigterm]",
        "empty > watch off, kill all 15, watch all [final-sigterm]",
        "empty > watch off, stop: done [dead]",
      ],
    ],
    [
      "a stop that takes too long ends in SIGKILL",
      "ExecStart=/m",
      "start main+ stop timer main=KILL empty empty",
      [
        "start > spawn main /m [start]",
        "main+ > start: done [running]",
        "stop > kill all 15, watch all [stop-sigterm]",
        "timer > kill all 9, watch all [stop-sigkill]",
        "main=KILL > [stop-sigkill]",
        "empty > watch off, kill all 15, watch all [final-sigterm]",
        "empty > watch off, stop: done [failed]",
      ],
    ],
    [
      "KillMode=mixed asks the main process and kills the rest",
      "ExecStart=/m\nKillMode=mixed",
      "start main+ stop main=TERM empty",
      [
        "start > spawn main /m [start]",
        "main+ > start: done [running]",
        "stop > kill main 15, watch main [stop-sigterm]",
        "main=TERM > [stop-sigterm]",
        "empty > watch off, kill all 9, watch all [final-sigterm]",
      ],
    ],
    [
      "a missing program of a simple service fails after the start",
      "ExecStart=/m",
      "start main!",
      ["start > spawn main /m [start]", "main! > start: done, kill all 15, watch all [stop-sigterm]"],
    ],
    [
      "a missing environment file fails the start",
      "ExecStart=/m",
      "start main? empty empty",
      [
        "start > spawn main /m [start]",
        "main? > kill all 15, watch all [stop-sigterm]",
        "empty > watch off, kill all 15, watch all [final-sigterm]",
        "empty > watch off, start: failed [failed]",
      ],
    ],
  ])("%s", (_title, lines, events, want) => {
    expect(transcript(machine(lines), events)).toEqual(want);
  });

  it("lets starts through until the limit, and again after its interval", () => {
    const m = machine("Type=oneshot\nExecStart=/m", "StartLimitIntervalSec=10\nStartLimitBurst=2");
    const run = (nowMs: number) => m.handle({ type: "start" }, nowMs).some((e) => e.type === "spawn");
    const end = () => {
      m.handle({ type: "exited", role: "main", exit: { code: 0 } }, 0);
      m.handle({ type: "empty" }, 0);
      m.handle({ type: "empty" }, 0);
    };
    const tries = [0, 1000, 2000, 10_001].map((ms) => {
      const started = run(ms);
      if (started) end();
      return started;
    });
    expect(tries).toEqual([true, true, false, true]);
    expect(m.state).toBe("dead");
  });

  it("answers every job and never gets stuck, whatever happens in whatever order", () => {
    const config = fc.record({
      type: fc.constantFrom("simple", "exec", "oneshot", "notify"),
      restart: fc.constantFrom("no", "on-failure", "on-abnormal"),
      remain: fc.boolean(),
      pre: fc.boolean(),
      post: fc.boolean(),
      stop: fc.boolean(),
      kill: fc.constantFrom("control-group", "mixed", "process", "none"),
    });
    fc.assert(
      fc.property(config, fc.array(fc.constantFrom(...Object.keys(EVENTS)), { maxLength: 40 }), (c, words) => {
        const m = machine(
          [
            `Type=${c.type}\nRestart=${c.restart}\nRemainAfterExit=${c.remain}\nKillMode=${c.kill}\nExecStart=/m`,
            c.pre ? "ExecStartPre=/p" : "",
            c.post ? "ExecStartPost=/q\nExecStopPost=/t" : "",
            c.stop ? "ExecStop=/s" : "",
          ].join("\n"),
        );
        const open = { start: 0, stop: 0 };
        const feed = (event: ServiceEvent) => {
          if (event.type === "start" || event.type === "stop") open[event.type] = 1;
          for (const effect of m.handle(event, 0)) if (effect.type === "job") open[effect.job] = 0;
        };
        for (const word of words) feed(EVENTS[word] ?? { type: "timer" });
        // Then asked to stop, with time running out whenever it waits, it comes to rest.
        feed({ type: "stop" });
        for (let i = 0; i < 20 && m.activeState !== "inactive" && m.activeState !== "failed"; i++)
          feed({ type: "timer" });
        return (m.activeState === "inactive" || m.activeState === "failed") && open.start === 0 && open.stop === 0;
      }),
      { numRuns: 2000 },
    );
  });
});
