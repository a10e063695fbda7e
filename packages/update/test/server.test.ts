import { execFile } from "node:child_process";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { SystemClock } from "@keelson/log";
import { eventually, type TempDir, tempDir } from "@keelson/testkit";
import { silentLogger } from "@keelson/types";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Graph, parseGraph } from "../src/index.ts";
import { UpdateServer } from "../src/server/index.ts";
import { Publisher } from "../src/testing/index.ts";

let dir: TempDir;
let server: UpdateServer;
let publisher: Publisher;
beforeAll(async () => {
  dir = await tempDir("update-server");
  publisher = new Publisher(dir.join("srv"));
  await mkdir(publisher.root);
  await publisher.publish("1.0.0");
  await publisher.publish("2.0.0", { update: { version: "2.0.0", rollout: { start_percentage: 0.5 } } });
  await writeFile(dir.join("secret"), "secret");
  await writeFile(join(publisher.root, "repo/ten"), "0123456789");
  await writeFile(join(publisher.root, "repo/empty"), "");
  await symlink("../../secret", join(publisher.root, "repo/link"));
  server = await UpdateServer.start({ root: publisher.root, port: 0, clock: new SystemClock(), logger: silentLogger });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

/** As the path is written: no client tidies it first. */
function get(path: string, headers: Record<string, string> = {}, method = "GET") {
  const { port } = new URL(server.url);
  return new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path, headers, method }, (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => (body += chunk.toString("latin1")));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    sent.on("error", reject).end();
  });
}
const edges = (graph: Graph) => graph.edges.map(([f, t]) => `${graph.nodes[f]?.version}-${graph.nodes[t]?.version}`);

describe("graphs", () => {
  const BASE = "/v1/graph?stream=stable&basearch=x86_64";
  it("are those of the stream, throttled for who asks, with a tag", async () => {
    const { headers, body, status } = await get(`${BASE}&rollout_wariness=0.1`);
    expect(status).toBe(200);
    expect(edges(parseGraph(body))).toEqual(["1.0.0-2.0.0"]);
    expect((await get(`${BASE}&rollout_wariness=0.1`, { "If-None-Match": String(headers["etag"]) })).status).toBe(304);
    expect(edges(parseGraph((await get(`${BASE}&rollout_wariness=0.9`)).body))).toEqual([]);
    expect(edges(parseGraph((await get("/v1/graph?stream=stable&basearch=aarch64")).body))).toEqual([]);
  });

  it.each([
    ["/v1/graph?basearch=x", 400, "missing_parameter", "the parameter stream is missing"],
    ["/v1/graph?stream=stable", 400, "missing_parameter", "the parameter basearch is missing"],
    ["/v1/graph?stream=none&basearch=x86_64", 404, "unknown_stream", "there is no stream none"],
    ["/v1/graph?stream=..%2f..%2fsecret&basearch=x86_64", 400, "invalid_parameter", "is not a stream's name"],
    [`${BASE}&rollout_wariness=2`, 400, "invalid_parameter", "rollout_wariness is not a number from 0 to 1"],
  ])("%s: %i %s", async (path, status, kind, value) => {
    const answer = await get(path);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toEqual({ kind, value: expect.stringContaining(value) });
  });

  it("what is published is seen at once; a broken file is not, and the last good one is served", async () => {
    await publisher.publish("3.0.0");
    const versions = async () => parseGraph((await get(BASE)).body).nodes.map((n) => n.version);
    await eventually(async () => (await versions()).length === 3);
    const text = await readFile(join(publisher.root, "releases/stable.json"), "utf8");
    await publisher.write("{ not json");
    expect(await versions()).toEqual(["1.0.0", "2.0.0", "3.0.0"]);
    await publisher.write(text);
    expect(await versions()).toEqual(["1.0.0", "2.0.0", "3.0.0"]);
  });
});

describe("files", () => {
  it.each<[string, Record<string, string>, number, string, string | undefined]>([
    ["whole", {}, 200, "0123456789", undefined],
    ["a range", { Range: "bytes=2-4" }, 206, "234", "bytes 2-4/10"],
    ["to the end", { Range: "bytes=7-" }, 206, "789", "bytes 7-9/10"],
    ["the last ones", { Range: "bytes=-3" }, 206, "789", "bytes 7-9/10"],
    ["more than there is", { Range: "bytes=8-99" }, 206, "89", "bytes 8-9/10"],
    ["several ranges are not given", { Range: "bytes=0-1,3-4" }, 200, "0123456789", undefined],
    ["nonsense is no range", { Range: "lines=1" }, 200, "0123456789", undefined],
    ["of another version of the file", { Range: "bytes=2-4", "If-Range": '"other"' }, 200, "0123456789", undefined],
  ])("%s", async (_title, headers, status, body, range) => {
    const answer = await get("/repo/ten", headers);
    expect([answer.status, answer.body, answer.headers["content-range"]]).toEqual([status, body, range]);
    expect(answer.headers["connection"]).not.toBe("close");
  });

  it("outside of the file is 416; HEAD has no body; an empty file is empty", async () => {
    const outside = await get("/repo/ten", { Range: "bytes=10-" });
    expect([outside.status, outside.headers["content-range"]]).toEqual([416, "bytes */10"]);
    const head = await get("/repo/ten", {}, "HEAD");
    expect([head.status, head.headers["content-length"], head.body]).toEqual([200, "10", ""]);
    expect((await get("/repo/empty")).status).toBe(200);
    const tag = String(head.headers["etag"]);
    expect((await get("/repo/ten", { "If-None-Match": tag })).status).toBe(304);
    expect((await get("/repo/ten", { "If-None-Match": `"x", W/${tag}` })).status).toBe(304);
  });

  it.each([
    "/repo/../../secret",
    "/repo/%2e%2e/%2e%2e/secret",
    "/repo/..%2f..%2fsecret",
    "/repo/%252e%252e/secret",
    "/repo//etc/passwd",
    "/repo/./ten",
    "/repo/..\\..\\secret",
    "/repo/ten%00",
    "/repo/link",
    "/repo/",
    "/repo/objects",
    "/repo/%ff",
    "/releases/../../secret",
    "/secret",
  ])("%s leads nowhere", async (path) => {
    const { status, body } = await get(path);
    expect([400, 404]).toContain(status);
    expect(body).not.toContain("secret\n");
    expect(JSON.parse(body)).toHaveProperty("kind");
  });

  it("nothing can be written", async () => {
    const { status, headers } = await get("/repo/ten", {}, "PUT");
    expect([status, headers["allow"]]).toEqual([405, "GET, HEAD"]);
  });

  it("a client that goes away in the middle does no harm", async () => {
    await writeFile(join(publisher.root, "repo/large"), new Uint8Array(32 << 20));
    const { port } = new URL(server.url);
    for (let i = 0; i < 20; i++) {
      await new Promise<void>((resolve) => {
        const socket = connect(Number(port), "127.0.0.1", () =>
          socket.write("GET /repo/large HTTP/1.1\r\nHost: x\r\n\r\n"),
        );
        socket.once("data", () => socket.destroy());
        socket.on("close", () => resolve());
      });
    }
    expect((await get("/health")).body).toBe('{"health":"true"}');
    expect((await get("/metrics")).body).toContain('update_server_file_requests_total{area="repo",status="206"}');
  });

  it("stock ostree pulls from it", async ({ skip }) => {
    const run = (...args: string[]) =>
      new Promise<string>((resolve, reject) => {
        execFile("ostree", args, (error, stdout, stderr) => {
          if (error === null) resolve(stdout);
          else reject(new Error(`ostree ${args.join(" ")}: ${stderr}`, { cause: error }));
        });
      });
    try {
      await run("--version");
    } catch {
      skip("Debian's ostree is not installed (scripts/bootstrap.mjs installs it)");
    }
    const repo = dir.join("stock");
    const commit = publisher.commits.get("2.0.0") as string;
    await run("init", `--repo=${repo}`, "--mode=archive");
    await run("remote", `--repo=${repo}`, "add", "--no-gpg-verify", "k", `${server.url}/repo`);
    await run("pull", `--repo=${repo}`, "k", commit);
    await run("fsck", `--repo=${repo}`);
  });
});
