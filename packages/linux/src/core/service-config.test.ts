import { formatErrorChain } from "@keelson/types";
import { parseUnit } from "@keelson/unit";
import fc from "fast-check";
import { expect, it } from "vitest";
import { shallRestart } from "./exit.ts";
import { BadSettingError, parseService } from "./service-config.ts";

const parse = (text: string, name = "web@7.service") =>
  parseService(name, parseUnit(text), { hostname: "m1", runtimeDirectory: "/r" });
const service = (lines: string) => parse(`[Service]\n${lines}\n`);

it("has systemd's defaults", () => {
  expect(service("ExecStart=/bin/a")).toMatchObject({
    type: "simple",
    restart: "no",
    restartMs: 100,
    timeoutStartMs: 90_000,
    timeoutStopMs: 90_000,
    startLimitBurst: 5,
    startLimitIntervalMs: 10_000,
    killMode: "control-group",
    killSignal: 15,
    warnings: [],
  });
  expect(service("Type=oneshot\nExecStart=/bin/a").timeoutStartMs).toBe(Number.POSITIVE_INFINITY);
  expect(service("ExecStop=/bin/a").type).toBe("oneshot");
});

it("expands specifiers and resets lists", () => {
  const config = service("ExecStart=/no\nExecStart=\nExecStart=/bin/%p --id=%i %%\nEnvironment=A=%H B=%t/x");
  expect(config.start).toMatchObject([{ path: "/bin/web", args: ["--id=7", "%"] }]);
  expect(config.environment).toEqual([
    ["A", "m1"],
    ["B", "/r/x"],
  ]);
});

it.each([
  ["no command", "Type=simple", "the service has no ExecStart="],
  ["several commands", "ExecStart=/a\nExecStart=/b", "only Type=oneshot may have several"],
  ["forking", "Type=forking\nExecStart=/a", "Type=forking is not supported by the embedded unit manager; use simple"],
  ["dbus", "Type=dbus\nExecStart=/a", "Type=dbus is not supported"],
  [
    "a oneshot that always restarts",
    "Type=oneshot\nExecStart=/a\nRestart=always",
    "Restart=always cannot be used with Type=oneshot",
  ],
  [
    "a bad time",
    "ExecStart=/a\nTimeoutStopSec=soon",
    'TimeoutStopSec= of unit web@7.service is not valid: "soon" is not a time span',
  ],
  ["a bad signal", "ExecStart=/a\nKillSignal=SIGFOO", '"SIGFOO" is not a signal'],
  ["a bad policy", "ExecStart=/a\nRestart=often", "Restart=often is not one of no, always"],
  ["a relative program", "ExecStart=./a", "neither an absolute path nor a bare name"],
  ["an unknown specifier", "ExecStart=/a %Q", "the specifier %Q is not supported here"],
  ["a relative directory", "ExecStart=/a\nWorkingDirectory=x", "WorkingDirectory=x is not an absolute path"],
])("refuses %s", (_title, lines, message) => {
  let text = "";
  try {
    service(lines);
  } catch (error) {
    text = formatErrorChain(error);
  }
  expect(text).toContain(message);
});

it("says what has no effect", () => {
  const { warnings } = parse(
    "[Unit]\nPartOf=b.service\nAfter=network.target\n[Service]\nUser=www\nExecStart=+/a\nPrivateTmp=yes\nStandardOutput=tty\n[Socket]\nX=1\n[Install]\nWantedBy=x\n[X-Fleet]\nGlobal=true\n",
  );
  expect(warnings).toEqual(
    [
      "PartOf= in [Unit] is not supported here and has no effect",
      "User= in [Service] is not supported here and has no effect",
      "PrivateTmp= in [Service] is not supported here and has no effect",
      "the section [Socket] is not supported here and has no effect",
      "StandardOutput=tty is not supported here; the unit's journal is used",
      "the prefixes + and ! of ExecStart= have no effect: every command runs as the unit manager's user",
    ].toSorted((a, b) => warnings.indexOf(a) - warnings.indexOf(b)),
  );
});

const EXITS = {
  clean: ["success", { code: 0 }],
  code: ["exit-code", { code: 1 }],
  signal: ["signal", { signal: 9 }],
  core: ["core-dump", { signal: 11 }],
  timeout: ["timeout", undefined],
} as const;

// The table of systemd.service(5), "Exit causes and the effect of the Restart= settings".
it.each([
  ["no", ""],
  ["always", "clean code signal core timeout"],
  ["on-success", "clean"],
  ["on-failure", "code signal core timeout"],
  ["on-abnormal", "signal core timeout"],
  ["on-abort", "signal core"],
])("Restart=%s restarts after: %s", (policy, want) => {
  const config = service(`ExecStart=/a\nRestart=${policy}`);
  const restarted = Object.entries(EXITS).filter(([, [result, exit]]) => shallRestart(config, result, exit));
  expect(restarted.map(([name]) => name).join(" ")).toBe(want);
});

it("lets exit statuses overrule the policy", () => {
  const config = service("ExecStart=/a\nRestart=always\nRestartPreventExitStatus=3 SIGKILL");
  expect(shallRestart(config, "exit-code", { code: 3 })).toBe(false);
  expect(shallRestart(config, "signal", { signal: 9 })).toBe(false);
  expect(shallRestart(service("ExecStart=/a\nRestartForceExitStatus=4"), "exit-code", { code: 4 })).toBe(true);
});

it("throws nothing but BadSettingError on any settings", () => {
  const key = fc.constantFrom(
    "Type",
    "ExecStart",
    "Restart",
    "RestartSec",
    "KillSignal",
    "Environment",
    "EnvironmentFile",
    "SuccessExitStatus",
    "StandardOutput",
    "TimeoutSec",
    "WorkingDirectory",
  );
  const line = fc
    .tuple(
      key,
      fc.string({ unit: "grapheme" }).filter((s) => !/[\n\0]/.test(s)),
    )
    .map(([k, v]) => `${k}=${v}`);
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      try {
        service(lines.join("\n"));
        return true;
      } catch (error) {
        return error instanceof BadSettingError;
      }
    }),
    { numRuns: 500 },
  );
});
