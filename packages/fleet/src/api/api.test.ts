import { request } from "node:http";
import { SystemClock } from "@keelson/log";
import { eventually, tempDir } from "@keelson/testkit";
import { silentLogger } from "@keelson/types";
import { parseOptions } from "@keelson/unit";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemoryAgentMemory } from "../agent/record.ts";
import { FleetClient } from "../client/client.ts";
import { Fleetd } from "../fleetd.ts";
import { MemoryEtcd } from "../store/memory-etcd.ts";
import { MemoryFleetStore } from "../store/memory-store.ts";
import { FakeUnitManager } from "../testing/fake-unit-manager.ts";

const clock = new SystemClock();
const etcd = new MemoryEtcd(clock);
const ONE = "1111111111111111aaaaaaaaaaaaaaaa";
const TWO = "2222222222222222aaaaaaaaaaaaaaaa";

async function start(id: string, more: { tokenLimit?: number; etcd?: MemoryEtcd; listen?: string[] } = {}) {
  const store = new MemoryFleetStore({ etcd: more.etcd ?? etcd, clock });
  const manager = new FakeUnitManager(clock);
  const fleetd = await Fleetd.start({
    store,
    manager,
    memory: new MemoryAgentMemory(`instance of ${id}`),
    clock,
    logger: silentLogger,
    machine: { id, publicIp: "10.0.0.1", metadata: { disk: "ssd" } },
    listen: more.listen ?? ["http://127.0.0.1:0"],
    ttlMs: 1_000,
    tokenLimit: more.tokenLimit ?? 100,
  });
  return { fleetd, store, manager, url: fleetd.urls[0] ?? "" };
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

let one: Awaited<ReturnType<typeof start>>;
let two: Awaited<ReturnType<typeof start>>;

beforeAll(async () => {
  one = await start(ONE);
  two = await start(TWO);
  await eventually(() => one.fleetd.registry.view.machines().length === 2);
});

afterAll(async () => {
  for (const { fleetd } of [one, two]) await fleetd.stop({ drain: true });
});

async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(`${one.url}${path}`, {
    method,
    headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const errorOf = (status: number, message: string) => ({
  status,
  text: JSON.stringify({ error: { code: status, message } }),
});
const OPTIONS = [{ section: "Service", name: "ExecStart", value: "run" }];
const put = (name: string, body: unknown) => call("PUT", `/fleet/v1/units/${name}`, body);
const patch = (body: unknown) => call("PATCH", "/fleet/v1/machines", body);

describe("A4: statuses and texts", () => {
  it.each(["/fleet/v1", "/v1-alpha"])("machines, below %s", async (prefix) => {
    const { status, headers, text } = await call("GET", `${prefix}/machines`);
    expect([status, headers.get("content-type"), headers.get("server")]).toEqual([
      200,
      "application/json",
      "fleetd/0.1.0",
    ]);
    const machine = (id: string) => ({ id, metadata: { disk: "ssd" }, primaryIP: "10.0.0.1" });
    expect(JSON.parse(text)).toEqual({ machines: [machine(ONE), machine(TWO)] });
  });

  it("discovery carries the address under which it was asked for", async () => {
    const { text } = await call("GET", "/fleet/v1/discovery");
    const document = JSON.parse(text) as {
      rootUrl: string;
      resources: Record<string, { methods: Record<string, { id: string }> }>;
    };
    expect(document.rootUrl).toBe(`${one.url}/`);
    const ids = Object.values(document.resources).flatMap(({ methods }) => Object.values(methods).map(({ id }) => id));
    expect(ids.sort()).toEqual([
      "fleet.Machine.List",
      "fleet.Unit.Delete",
      "fleet.Unit.Get",
      "fleet.Unit.List",
      "fleet.Unit.Set",
      "fleet.UnitState.Get",
      "fleet.UnitState.List",
    ]);
  });

  it.each<[string, string, number, string]>([
    ["POST", "/fleet/v1/discovery", 400, "only HTTP GET supported against this resource"],
    ["PUT", "/fleet/v1/machines", 405, "only GET and PATCH supported against this resource"],
    ["POST", "/fleet/v1/units", 405, "only GET supported against this resource"],
    ["POST", "/fleet/v1/units/a.service", 405, "only GET, PUT and DELETE supported against this resource"],
    ["DELETE", "/fleet/v1/state/a.service", 405, "only GET supported against this resource"],
    ["GET", "/fleet/v1/units/none.service", 404, "unit does not exist"],
    ["DELETE", "/fleet/v1/units/none.service", 404, "unit does not exist"],
    ["GET", "/fleet/v1/state/none.service", 404, "unit state does not exist"],
    ["GET", "/fleet/v1/nothing", 404, ""],
    ["GET", "/elsewhere", 404, ""],
    ["GET", "/", 405, ""],
    ["GET", "/fleet/v1/", 405, ""],
    ["GET", "/fleet/v1/units/%zz", 400, "malformed escape in URL"],
    ["GET", "/fleet/v1/machines?nextPageToken=EwBMLg==", 400, "token limit must be 100"],
    ["GET", "/fleet/v1/units?nextPageToken=ZAAAAA==", 400, "token page must be greater than zero"],
    ["GET", "/fleet/v1/state?nextPageToken=a&nextPageToken=b", 400, "too many values for page token"],
    ["GET", "/fleet/v1/units?nextPageToken=%2B%2B", 400, "page token is not base64url"],
    ["GET", "/fleet/v1/units/none.service/journal?lines=-1", 400, "lines must be a whole number from 0 to 10000"],
  ])("%s %s -> %i %s", async (method, path, status, message) => {
    expect(await call(method, path)).toMatchObject(errorOf(status, message));
  });

  it.each<[string, string, unknown, number, string]>([
    ["no JSON", "a.service", "{", 400, "unable to decode body: "],
    ["no object", "a.service", [], 400, "unable to decode body: expected an object"],
    [
      "another name",
      "a.service",
      { name: "b.service", options: OPTIONS },
      400,
      'name in URL "a.service" differs from unit name in request body "b.service"',
    ],
    ["no options", "a.service", { desiredState: "launched" }, 409, "unit does not exist and options field empty"],
    ["no type", "a", { options: OPTIONS }, 400, 'unit name must contain "."'],
    ["a bad type", "a.exe", { options: OPTIONS }, 400, 'invalid unit type: "exe"'],
    ["a bad character", "a%20b.service", { options: OPTIONS }, 400, "invalid character ' ' in unit name"],
    [
      "a template that is to run",
      "a@.service",
      { options: OPTIONS, desiredState: "launched" },
      400,
      'cannot activate template "a@.service"',
    ],
    [
      "requirements that exclude each other",
      "a.service",
      {
        options: [
          ...OPTIONS,
          { section: "X-Fleet", name: "Global", value: "true" },
          { section: "X-Fleet", name: "MachineOf", value: "b.service" },
        ],
      },
      400,
      "Global cannot be used with Peers",
    ],
    [
      "an option that smuggles",
      "a.service",
      { options: [{ section: "Service", name: "A", value: "b\nExecStart=x" }] },
      400,
      "option",
    ],
    [
      "a state that is none",
      "a.service",
      { options: OPTIONS, desiredState: "running" },
      400,
      'unable to decode body: invalid desired state "running"',
    ],
  ])("PUT with %s", async (_title, name, body, status, message) => {
    const before = etcd.revision;
    const answer = await put(name, body);
    expect(answer.status).toBe(status);
    expect((JSON.parse(answer.text) as { error: { message: string } }).error.message).toContain(message);
    expect(etcd.revision).toBe(before);
  });

  it("PUT needs one JSON content type", async () => {
    const send = (type?: string[]) =>
      new Promise<string>((resolve, reject) => {
        const outgoing = request(`${one.url}/fleet/v1/units/a.service`, { method: "PUT" }, (response) => {
          let text = "";
          response.on("data", (chunk) => (text += String(chunk)));
          response.on("end", () => resolve(`${response.statusCode} ${text}`));
        });
        if (type !== undefined) outgoing.setHeader("Content-Type", type);
        outgoing.on("error", reject).end("{}");
      });
    expect(await send()).toContain("415");
    expect(await send()).toContain("expected 1 Content-Type, got 0");
    expect(await send(["text/plain"])).toContain("only acceptable Content-Type is application/json");
    expect(await send(["application/json; charset=utf-8"])).toContain("409");
  });

  it("a body that is too large is refused", async () => {
    const huge = JSON.stringify({ options: [{ section: "Service", name: "A", value: "x".repeat(1 << 20) }] });
    expect((await put("a.service", huge).catch(() => undefined))?.status ?? 413).toBe(413);
    expect((await call("GET", "/fleet/v1/machines")).status).toBe(200);
  });

  it("create 201, change of state 204, replace 201, delete 204", async () => {
    expect((await put("w.service", { options: OPTIONS, desiredState: "inactive" })).status).toBe(201);
    expect(await put("w.service", { options: OPTIONS })).toMatchObject(
      errorOf(409, "must provide DesiredState to update existing unit"),
    );
    expect((await put("w.service", { desiredState: "launched" })).status).toBe(204);
    await eventually(async () => {
      const unit = JSON.parse((await call("GET", "/fleet/v1/units/w.service")).text) as Record<string, unknown>;
      return unit["currentState"] === "launched" && unit["desiredState"] === "launched";
    });
    const state = async () =>
      JSON.parse((await call("GET", "/fleet/v1/state/w.service")).text) as Record<string, string>;
    await eventually(async () => (await state())["systemdActiveState"] === "active");
    const before = await state();
    expect(before).toMatchObject({ name: "w.service", systemdLoadState: "loaded", systemdSubState: "running" });
    const other = [{ section: "Service", name: "ExecStart", value: "other" }];
    expect((await put("w.service", { options: other, desiredState: "launched" })).status).toBe(201);
    await eventually(
      async () => (await state())["hash"] !== before["hash"] && (await state())["systemdActiveState"] === "active",
    );
    expect((await call("DELETE", "/fleet/v1/units/w.service")).status).toBe(204);
    await eventually(async () => (await call("GET", "/fleet/v1/state/w.service")).status === 404);
  });
});

describe("PATCH machines", () => {
  const path = `/${ONE}/metadata/rack`;
  const metadata = async () => {
    const { machines } = JSON.parse((await call("GET", "/fleet/v1/machines")).text) as {
      machines: { metadata: unknown }[];
    };
    return machines[0]?.metadata;
  };

  it("adds, replaces and removes, with either form of value; announced keys return when the override goes", async () => {
    expect((await patch([{ op: "add", path, value: "r1" }])).status).toBe(204);
    expect(await metadata()).toEqual({ disk: "ssd", rack: "r1" });
    expect((await patch([{ op: "replace", path, value: { value: "r2" } }])).status).toBe(204);
    expect(await metadata()).toEqual({ disk: "ssd", rack: "r2" });
    expect(
      (
        await patch([
          { op: "remove", path },
          { op: "remove", path: `/${ONE}/metadata/none` },
        ])
      ).status,
    ).toBe(204);
    expect(await metadata()).toEqual({ disk: "ssd" });
  });

  it.each<[unknown, string]>([
    [[{ op: "move", path, value: "x" }], "invalid op: expect add, remove, or replace"],
    [[{ op: "add", path: "/a/b", value: "x" }], "machine metadata path invalid"],
    [[{ op: "add", path }], "invalid value: add and replace require a value"],
    [{ op: "add" }, "expected a list of operations"],
  ])("%j is refused: %s", async (body, message) => {
    const before = etcd.revision;
    expect(await patch(body)).toMatchObject(errorOf(400, message));
    expect(etcd.revision).toBe(before);
  });
});

describe("pages", () => {
  it("every item once, by own tokens and by fleet's", async () => {
    const other = new MemoryEtcd(clock);
    const { fleetd, url } = await start(ONE, { etcd: other, tokenLimit: 3 });
    await eventually(() => fleetd.agent.problem === undefined);
    const client = new FleetClient({ endpoint: url });
    const names = Array.from({ length: 9 }, (_, i) => `u${i}.service`);
    for (const name of names.toReversed()) await client.createUnit(name, OPTIONS, "inactive");
    expect((await client.units()).map((unit) => unit.name)).toEqual(names);
    const legacy = Buffer.from([3, 0, 2, 0]).toString("base64url");
    const page = (await (await fetch(`${url}/fleet/v1/units?nextPageToken=${legacy}`)).json()) as {
      units: { name: string }[];
    };
    expect(page.units.map((unit) => unit.name)).toEqual(names.slice(3, 6));
    const last = Buffer.from([3, 0, 3, 0]).toString("base64url");
    const end = (await (await fetch(`${url}/fleet/v1/units?nextPageToken=${last}`)).json()) as {
      nextPageToken?: string;
    };
    expect(end.nextPageToken).toBeUndefined();
    await fleetd.stop({ drain: true });
  });

  it("no token makes the server fail", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.base64String(),
          fc.string(),
          fc.uint8Array().map((b) => Buffer.from(b).toString("base64url")),
        ),
        async (token) => {
          const { status } = await call("GET", `/fleet/v1/units?nextPageToken=${encodeURIComponent(token)}`);
          expect([200, 400]).toContain(status);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("additions", () => {
  const client = () => new FleetClient({ endpoint: one.url });

  it("why: the reason of each machine", async () => {
    await client().createUnit(
      "gpu.service",
      [...OPTIONS, { section: "X-Fleet", name: "MachineMetadata", value: "gpu=yes" }],
      "launched",
    );
    const why = await eventually(async () => {
      const answer = await client().why("gpu.service");
      return answer?.reason === undefined ? undefined : answer;
    });
    expect(why.reason).toMatch(/^no agents able to run job: /);
    expect(why.machines).toEqual(
      [ONE, TWO].map((id) => ({ id, isHere: false, refusal: "local Machine metadata insufficient" })),
    );
    expect(await client().why("none.service")).toBeUndefined();
    await client().destroyUnit("gpu.service");
  });

  it("journal and status, also of a unit on another machine", async () => {
    await client().createUnit(
      "far.service",
      [...OPTIONS, { section: "X-Fleet", name: "MachineID", value: TWO }],
      "launched",
    );
    await eventually(() => two.manager.running().includes("far.service"));
    expect(await client().status("far.service")).toMatchObject({
      machineID: TWO,
      activeState: "active",
      name: "far.service",
    });
    const lines: string[] = [];
    for await (const line of client().journal("far.service", { lines: 2 })) lines.push(line);
    expect(lines).toEqual(["line 11 of far.service", "line 12 of far.service"]);
    const stop = new AbortController();
    for await (const line of client().journal("far.service", { lines: 1, follow: true, signal: stop.signal })) {
      expect(line).toBe("line 12 of far.service");
      break;
    }
    await client().destroyUnit("far.service");
  });

  it("a machine that listens on a socket is reached on the same host; one that does not is named in the error", async () => {
    await using dir = await tempDir("fleet-api");
    const id = "3333333333333333aaaaaaaaaaaaaaaa";
    const socket = dir.join("fleet.sock");
    const three = await start(id, { listen: [`unix://${socket}`] });
    const pin = { section: "X-Fleet", name: "MachineID", value: id };
    await client().createUnit("mute.service", [...OPTIONS, pin], "launched");
    await eventually(() => three.manager.running().includes("mute.service"));
    expect(await client().status("mute.service")).toMatchObject({ activeState: "active", machineID: id });
    const { fleetd } = await start("4".repeat(32), { listen: [] });
    const elsewhere = [...OPTIONS, { ...pin, value: "4".repeat(32) }];
    await client().createUnit("far.service", elsewhere, "launched");
    await eventually(async () => (await client().unit("far.service"))?.currentState === "launched");
    await expect(client().status("far.service")).rejects.toThrow(
      `the unit is on machine ${"4".repeat(32)}, whose fleetd listens for no other machine`,
    );
    for (const name of ["mute.service", "far.service"]) await client().destroyUnit(name);
    await fleetd.stop({ drain: true });
    await three.fleetd.stop({ drain: true });
  });

  it("?watch= tells every unit and then each change", async () => {
    const stop = new AbortController();
    const response = await fetch(`${one.url}/fleet/v1/units?watch=true`, { signal: stop.signal });
    const seen: string[] = [];
    const reading = (async () => {
      let rest = "";
      for await (const chunk of response.body ?? []) {
        const parts = (rest + Buffer.from(chunk).toString()).split("\n");
        rest = parts.pop() ?? "";
        for (const part of parts) seen.push(part);
      }
    })().catch(() => {});
    await eventually(() => seen.at(-1) === '{"type":"sync"}');
    await client().createUnit("seen.service", OPTIONS, "inactive");
    await eventually(() => seen.some((line) => line.includes('"put"') && line.includes("seen.service")));
    await client().destroyUnit("seen.service");
    await eventually(() => seen.includes('{"type":"delete","key":"seen.service"}'));
    stop.abort();
    await reading;
  });

  it("metrics by fleet's names", async () => {
    await client().createUnit("metered.service", OPTIONS, "launched");
    await eventually(async () => (await client().unit("metered.service"))?.currentState === "launched");
    const texts = await Promise.all([one, two].map(async ({ url }) => (await fetch(`${url}/metrics`)).text()));
    await client().destroyUnit("metered.service");
    const all = texts.join("");
    for (const name of [
      "fleet_engine_leader_start_time",
      "fleet_engine_task_count_total",
      "fleet_engine_reconcile_count_total",
      "fleet_engine_reconcile_duration_second_bucket",
      "fleet_registry_operation_count_total",
      "fleet_registry_operation_duration_second_sum",
    ]) {
      expect(all).toContain(name);
    }
  });
});

describe("without the store", () => {
  it("503 in fleet's words until registered; then reads from memory with a warning, and writes refused", async () => {
    const other = new MemoryEtcd(clock);
    other.down();
    const { fleetd, url } = await start(ONE, { etcd: other });
    const client = new FleetClient({ endpoint: url });
    await expect(client.machines()).rejects.toThrow(
      "googleapi: Error 503: fleet server unable to communicate with etcd",
    );
    expect((await fetch(`${url}/health`)).status).toBe(503);
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    other.up();
    await eventually(async () => (await client.machines().catch(() => [])).length === 1);
    await client.createUnit("a.service", parseOptions("[Service]\nExecStart=run\n"), "launched");
    other.down();
    await eventually(() => fleetd.agent.problem !== undefined);
    const response = await fetch(`${url}/fleet/v1/units`);
    expect([response.status, response.headers.get("warning")]).toEqual([
      200,
      '110 fleetd "etcd cannot be reached; this may be out of date"',
    ]);
    await expect(client.setDesiredState("a.service", "inactive")).rejects.toThrow(
      "fleet server unable to communicate with etcd",
    );
    other.up();
    await eventually(() => fleetd.agent.problem === undefined);
    await fleetd.stop({ drain: true });
  });

  it("two programs cannot listen on one socket, and one that was left over does not matter", async () => {
    await using dir = await tempDir("fleet-api");
    const listen = [`unix://${dir.join("fleet.sock")}`];
    const first = await start(ONE, { etcd: new MemoryEtcd(clock), listen });
    await expect(start(TWO, { listen })).rejects.toThrow("another program listens there");
    await first.fleetd.stop();
    const again = await start(ONE, { etcd: new MemoryEtcd(clock), listen });
    await again.fleetd.stop();
  });

  it.each(["tcp://x", "unix://relative/path", "nonsense", "http://127.0.0.1:1/path"])(
    "listen on %s is refused",
    async (url) => {
      await expect(start(TWO, { listen: [url] })).rejects.toMatchObject({ code: "ERR_CONFIG" });
    },
  );
});
