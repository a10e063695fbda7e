import { readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tempDir } from "@keelson/testkit";
import { describe, expect, it } from "vitest";
import { EMPTY_MEMORY } from "../core/memory.ts";
import type { GraphQuery } from "../ports.ts";
import { HttpGraphClient } from "./graph-http.ts";
import { FileStateStore } from "./state-file.ts";

const SIGNAL = new AbortController().signal;
const QUERY: GraphQuery = {
  basearch: "x86_64",
  stream: "stable",
  nodeUuid: "n1",
  osVersion: "1.0.0",
  osChecksum: "aa",
  group: "default",
  rolloutWariness: 0.5,
};

describe("the state file", () => {
  const memory = {
    ...EMPTY_MEMORY,
    denied: [{ version: "2", commit: "a".repeat(64), reason: "r", machine: "m", at: 1 }],
  };

  it("none is a fresh machine; what was saved is there again", async () => {
    await using dir = await tempDir("state");
    const path = dir.join("sub/dir/state.json");
    expect(await new FileStateStore(path).load()).toEqual({ memory: EMPTY_MEMORY });
    await new FileStateStore(path).save(memory);
    expect(await new FileStateStore(path).load()).toEqual({ memory });
  });

  it.each(["", "{", '{"schema":1}', "\0\0\0"])(
    "%j is unreadable, stays, and is put aside by the first save",
    async (text) => {
      await using dir = await tempDir("state");
      const path = dir.join("state.json");
      await writeFile(path, text);
      const store = new FileStateStore(path);
      expect(await store.load()).toMatchObject({
        unreadable: expect.stringContaining(`the state file ${path} cannot be read`),
      });
      expect(await readFile(path, "utf8")).toBe(text);
      await store.save(memory);
      expect(await readFile(`${path}.unreadable`, "utf8")).toBe(text);
      expect(await new FileStateStore(path).load()).toEqual({ memory });
    },
  );

  it("what a crash left beside it does not count", async () => {
    await using dir = await tempDir("state");
    const path = dir.join("state.json");
    await new FileStateStore(path).save(memory);
    await writeFile(`${path}.new`, '{"sche');
    expect(await new FileStateStore(path).load()).toEqual({ memory });
    await new FileStateStore(path).save(EMPTY_MEMORY);
    expect(await new FileStateStore(path).load()).toEqual({ memory: EMPTY_MEMORY });
  });

  it("says what it could not write", async () => {
    await using dir = await tempDir("state");
    await writeFile(dir.join("file"), "");
    await expect(new FileStateStore(dir.join("file/state.json")).save(memory)).rejects.toThrow(
      `cannot write ${dir.join("file/state.json")}`,
    );
    await rm(dir.join("file"));
  });
});

describe("asking for a graph", () => {
  async function serve(listener: RequestListener) {
    const server = createServer(listener);
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      [Symbol.asyncDispose]: async () => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }
  const GRAPH = '{"nodes":[{"version":"1.0.0","payload":"aa","metadata":{}}],"edges":[]}';

  it("says who it is, and does not fetch again what it has", async () => {
    const seen: string[] = [];
    await using server = await serve((request, response) => {
      seen.push(`${request.url} ${request.headers["if-none-match"] ?? "-"}`);
      if (request.headers["if-none-match"] === '"e1"') response.writeHead(304).end();
      else response.writeHead(200, { ETag: '"e1"' }).end(GRAPH);
    });
    const client = new HttpGraphClient(`${server.url}/`);
    const first = await client.fetch(QUERY, SIGNAL);
    expect(first.nodes.map((n) => n.version)).toEqual(["1.0.0"]);
    expect(await client.fetch(QUERY, SIGNAL)).toBe(first);
    await client.fetch({ ...QUERY, rolloutWariness: undefined }, SIGNAL);
    const query = "basearch=x86_64&stream=stable&node_uuid=n1&os_version=1.0.0&os_checksum=aa&group=default";
    expect(seen).toEqual([
      `/v1/graph?${query}&rollout_wariness=0.500000 -`,
      `/v1/graph?${query}&rollout_wariness=0.500000 "e1"`,
      `/v1/graph?${query} -`,
    ]);
  });

  it.each<[string, RequestListener, string]>([
    [
      "a refusal with its reason",
      (_, r) => void r.writeHead(404).end('{"kind":"unknown_stream","value":"there is no stream x"}'),
      "answered 404 (unknown_stream): there is no stream x",
    ],
    ["a proxy's page", (_, r) => void r.writeHead(502).end("<html>"), "answered 502 (http_502)"],
    ["a redirect", (_, r) => void r.writeHead(302, { Location: "http://elsewhere/" }).end(), "answered 302 (http_302)"],
    ["no graph", (_, r) => void r.writeHead(200).end('{"nodes":1}'), "the update server's answer is no graph"],
    ["304 to a question without a tag", (_, r) => void r.writeHead(304).end(), "answered 304"],
  ])("%s", async (_title, listener, message) => {
    await using server = await serve(listener);
    await expect(new HttpGraphClient(server.url).fetch(QUERY, SIGNAL)).rejects.toMatchObject({
      code: "ERR_SERVER_ANSWER",
      message: expect.stringContaining(message),
    });
  });

  it.each<[string, RequestListener, string]>([
    ["silence", () => {}, "no answer within 100 ms"],
    [
      "an endless answer",
      (_, r) => {
        r.writeHead(200);
        const chunk = "x".repeat(1 << 20);
        const write = () => {
          while (!r.destroyed && r.write(chunk));
        };
        r.on("drain", write).on("error", () => {});
        write();
      },
      "larger than 4194304 bytes",
    ],
    [
      "an answer that is cut off",
      (_, r) => {
        r.writeHead(200, { "Content-Length": 100 });
        r.write("{");
        setTimeout(() => r.destroy(), 10);
      },
      "aborted",
    ],
  ])("%s", async (_title, listener, why) => {
    await using server = await serve(listener);
    const timeoutMs = why.startsWith("no answer") ? 100 : 5_000;
    await expect(new HttpGraphClient(server.url, { timeoutMs }).fetch(QUERY, SIGNAL)).rejects.toMatchObject({
      code: "ERR_SERVER_UNREACHABLE",
      cause: { message: expect.stringContaining(why) },
    });
  });

  it("nobody there", async () => {
    await expect(new HttpGraphClient("http://127.0.0.1:1").fetch(QUERY, SIGNAL)).rejects.toMatchObject({
      code: "ERR_SERVER_UNREACHABLE",
    });
  });
});
