import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { runProcess, tempDir } from "@keelson/testkit";
import type { StatusView } from "@keelson/update/client";
import { describe, expect, it } from "vitest";
import { formatCheckResult, formatHistory, formatStatus } from "./update-text.ts";

const MAIN = join(import.meta.dirname, "../main.ts");
const target = (n: number) => ({ version: `${n}.0.0`, commit: `${n}`.repeat(64) });
const AT = Date.UTC(2026, 10, 25, 17, 0, 0) / 1_000;
const IDLE: StatusView = {
  agent: { version: "0.1.0", strategy: "etcd-lock", enabled: true },
  server: { url: "http://10.77.1.2:8080", stream: "stable", group: "default" },
  booted: { ...target(1), deployment: "d", onTrial: false },
  previous: target(0),
  state: "idle",
  note: null,
  target: null,
  progress: null,
  held: null,
  lastCheck: { at: AT, failures: 0, error: null },
  last: null,
  denied: [],
  health: null,
};
const ROLLED_BACK: StatusView = {
  ...IDLE,
  note: "2.0.0 is denied (node-1: health gate: fleetd: no answer)",
  last: {
    at: AT,
    what: "rolled-back",
    from: target(1),
    to: target(2),
    seconds: 371,
    reason: "health gate: fleetd: no answer",
    text: "rolled back from 2.0.0 to 1.0.0: health gate: fleetd: no answer",
  },
  denied: [{ ...target(2), reason: "health gate: fleetd: no answer", machine: "node-1", at: AT }],
  health: {
    green: true,
    checks: [
      { name: "systemd", outcome: "passed", required: true, tookMs: 10, detail: "" },
      { name: "10-clock", outcome: "failed", required: false, tookMs: 3, detail: "exited with 1" },
    ],
  },
};
const PULLING: StatusView = {
  ...IDLE,
  state: "pulling",
  target: target(2),
  progress: { objectsDone: 120, objectsTotal: 400, bytesReceived: 12_345_678 },
  lastCheck: { at: null, failures: 3, error: "GET http://x: connect ECONNREFUSED" },
};

describe("what people read", () => {
  it("a machine at rest", () => {
    expect(formatStatus(IDLE)).toBe(`\
Version:  1.0.0 (111111111111)
Previous: 0.0.0 (000000000000)
State:    idle
Last:     nothing yet
Checked:  2026-11-25 17:00:00 UTC
Server:   http://10.77.1.2:8080, stream stable, group default
Strategy: etcd-lock
`);
  });

  it("a machine that came back", () => {
    expect(formatStatus(ROLLED_BACK)).toBe(`\
Version:  1.0.0 (111111111111)
Previous: 0.0.0 (000000000000)
State:    idle
Note:     2.0.0 is denied (node-1: health gate: fleetd: no answer)
Last:     rolled back from 2.0.0 to 1.0.0: health gate: fleetd: no answer (2026-11-25 17:00:00 UTC)
Denied:   2.0.0 (node-1: health gate: fleetd: no answer)
Health:   green (systemd; 10-clock failed (only wanted): exited with 1)
Checked:  2026-11-25 17:00:00 UTC
Server:   http://10.77.1.2:8080, stream stable, group default
Strategy: etcd-lock
`);
  });

  it("a machine on its way, after some trouble", () => {
    expect(formatStatus({ ...PULLING, previous: null, agent: { ...IDLE.agent, enabled: false } })).toBe(`\
Version:  1.0.0 (111111111111)
Previous: none
State:    pulling (2.0.0)
Progress: 120 of 400 objects, 12.3 MB received
Last:     nothing yet
Checked:  never; the last 3 tries failed: GET http://x: connect ECONNREFUSED
Server:   http://10.77.1.2:8080, stream stable, group default
Strategy: etcd-lock, updates are disabled
`);
  });

  it("history, and what came of a check", () => {
    expect(formatHistory([])).toBe("nothing has been done to this machine yet\n");
    expect(formatHistory(ROLLED_BACK.last === null ? [] : [ROLLED_BACK.last])).toBe(
      "2026-11-25 17:00:00 UTC  rolled back from 2.0.0 to 1.0.0: health gate: fleetd: no answer, after 371 s\n",
    );
    expect([IDLE, ROLLED_BACK, PULLING, { ...PULLING, lastCheck: IDLE.lastCheck }].map(formatCheckResult)).toEqual([
      "1.0.0 is up to date\n",
      "2.0.0 is denied (node-1: health gate: fleetd: no answer)\n",
      "GET http://x: connect ECONNREFUSED\n",
      "2.0.0 is on its way: pulling\n",
    ]);
  });
});

describe("the program", () => {
  async function agent(answers: Record<string, [number, unknown]>) {
    const dir = await tempDir("osctl");
    const asked: string[] = [];
    const server = createServer((request, response) => {
      const what = `${request.method} ${request.url}`;
      asked.push(what);
      const [status, body] = answers[what] ?? [404, { kind: "not_found", value: `there is no ${request.url}` }];
      response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
    });
    const socket = dir.join("updated.sock");
    await new Promise<void>((resolve) => void server.listen(socket, resolve));
    return {
      asked,
      osctl: async (...args: string[]) => {
        const env = { ...process.env, UPDATED_SOCKET: socket };
        const { code, stdout, stderr } = await runProcess(process.execPath, [MAIN, "update", ...args], { env });
        return { code, stdout, stderr };
      },
      async [Symbol.asyncDispose]() {
        await new Promise((resolve) => server.close(resolve));
        await dir[Symbol.asyncDispose]();
      },
    };
  }

  it("status as text and as JSON", async () => {
    await using a = await agent({ "GET /v1/status": [200, IDLE] });
    expect(await a.osctl("status")).toEqual({ code: 0, stdout: formatStatus(IDLE), stderr: "" });
    const json = await a.osctl("status", "-o", "json");
    expect(JSON.parse(json.stdout)).toEqual(IDLE);
  });

  it("check waits for what comes of it; now and rollback are only begun", async () => {
    await using a = await agent({
      "POST /v1/check": [202, {}],
      "POST /v1/now": [202, {}],
      "POST /v1/rollback": [409, { kind: "refused", value: "there is no older deployment to go back to" }],
      "GET /v1/status": [200, IDLE],
      "GET /v1/history": [200, { history: [ROLLED_BACK.last] }],
    });
    expect(await a.osctl("check")).toEqual({ code: 0, stdout: "1.0.0 is up to date\n", stderr: "" });
    expect((await a.osctl("now")).stdout).toBe("looking for an update; follow it with: osctl update status\n");
    expect(await a.osctl("rollback")).toEqual({
      code: 3,
      stdout: "",
      stderr: "osctl: rollback is refused: there is no older deployment to go back to\n",
    });
    expect((await a.osctl("history")).stdout).toMatch(/^2026-11-25 17:00:00 UTC {2}rolled back from 2\.0\.0/);
    expect(a.asked).toEqual([
      "POST /v1/check",
      "GET /v1/status",
      "POST /v1/now",
      "POST /v1/rollback",
      "GET /v1/history",
    ]);
  });

  it("a dead agent is 1, a wrong call 2, both with a reason", async () => {
    const run = async (...args: string[]) => await runProcess(process.execPath, [MAIN, "update", ...args]);
    const dead = await run("status", "--socket", "/nowhere/updated.sock");
    expect([dead.code, dead.stdout]).toEqual([1, ""]);
    expect(dead.stderr).toMatch(/^osctl: updated does not answer on \/nowhere\/updated\.sock; is it running/);
    const wrong = await run("status", "-o", "yaml");
    expect([wrong.code, wrong.stdout]).toEqual([2, ""]);
    expect(wrong.stderr).toContain("Allowed choices are text, json.");
    const help = await run("--help");
    expect([help.code, help.stderr]).toEqual([0, ""]);
    expect(help.stdout).toContain(
      "Exit codes: 0 done, 1 the agent does not answer, 2 called wrongly, 3 the agent refused",
    );
  });

  it("on a node nothing that builds images, and nothing of the agent, is loaded", async () => {
    await using dir = await tempDir("osctl");
    await mkdir(dir.join("x"));
    const hook = dir.join("hook.mjs");
    await writeFile(
      hook,
      `import { registerHooks } from "node:module";
registerHooks({ load(url, context, next) { process.stderr.write(url + "\\n"); return next(url, context); } });`,
    );
    const args = ["--import", hook, MAIN, "update", "status", "--socket", "/nowhere"];
    const { stderr } = await runProcess(process.execPath, args);
    const loaded = stderr.split("\n").filter((line) => line.startsWith("file:"));
    expect(loaded.length).toBeGreaterThan(3);
    const heavy =
      /image-builder|packages\/(cluster|ostree|boot|locksmith|etcd-client|grpc|log)\/|commands\/index|driver\.ts/;
    expect(loaded.filter((line) => heavy.test(line))).toEqual([]);
  });
});
