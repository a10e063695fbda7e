import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { type CredentialStore, type ImageProgress, RegistryConfig, readImageFile } from "../src/image/index.ts";
import { digestOf, INDEX_TYPE, MANIFEST_TYPE, makeImage, ordinaryImage } from "./images/make-image.ts";
import { responded, type Seen, sendBlob, startRegistry } from "./images/registry.ts";
import { memoryDir, snapshot, testStore } from "./images/store-helpers.ts";

const web: CredentialStore = {
  find: (host) => (host.startsWith("127.") ? { kind: "basic", username: "web", password: "pw" } : undefined),
};
const BASIC = `Basic ${Buffer.from("web:pw").toString("base64")}`;

it("pulls an image, tells how far it is, and fetches nothing twice", async () => {
  await using dir = await memoryDir("pull");
  await using registry = await startRegistry({ v1: ordinaryImage("v1"), v2: ordinaryImage("v2") });
  using opened = await testStore(dir.join("store"));
  const events: ImageProgress[] = [];
  const image = await opened.store.pull(`${registry.host}/team/app:v1`, {
    onProgress: (event) => void events.push(event),
  });
  expect(image).toMatchObject({ names: [`${registry.host}/team/app:v1`], config: { run: { cmd: ["/bin/sh"] } } });
  expect(image.layers).toHaveLength(2);
  const paths = image.layers.map((layer) => layer.erofsPath);
  expect(Buffer.from(readImageFile(paths, "/etc/passwd") ?? "").toString()).toMatch(/^root:/);
  expect(readImageFile(paths, "/gone")).toBe(undefined);
  const kinds = new Set(events.map((event) => event.kind));
  expect([...kinds].sort()).toEqual(["done", "layer-bytes", "layer-done", "resolved"]);
  const total = events.flatMap((e) => (e.kind === "resolved" ? [e.blobBytes] : []))[0];
  const last = new Map(events.flatMap((e) => (e.kind === "layer-bytes" ? [[e.diffId, e.received] as const] : [])));
  expect([...last.values()].reduce((a, b) => a + b, 0)).toBe(total);

  const before = await snapshot(dir.path);
  const requests = registry.seen.length;
  await opened.store.pull(`${registry.host}/team/app:v1`);
  expect(await snapshot(dir.path)).toEqual(before);
  // Only the manifest, to see whether the name still means the same.
  expect(registry.seen.slice(requests).map((s) => s.url)).toEqual(["/v2/team/app/manifests/v1"]);
});

it("fetches an image once for several that want it at the same time", async () => {
  await using dir = await memoryDir("together");
  await using registry = await startRegistry({ latest: ordinaryImage() });
  using opened = await testStore(dir.join("store"));
  const images = await Promise.all([0, 1, 2].map(() => opened.store.pull(`${registry.host}/app`)));
  expect(new Set(images.map((image) => image.id)).size).toBe(1);
  expect(registry.seen.filter((s) => s.url.includes("/blobs/")).length).toBeLessThanOrEqual(2 + 3);
});

it("finds images by name, short id and digests; a name moves to the new image, the old one stays by its id", async () => {
  await using dir = await memoryDir("names");
  const [v1, v2] = [ordinaryImage("v1"), ordinaryImage("v2")];
  await using registry = await startRegistry({ latest: v1 });
  using opened = await testStore(dir.join("store"));
  const { store } = opened;
  const name = `${registry.host}/app`;
  await store.pull(name);
  registry.tags.set("latest", v2);
  await store.pull(name);
  expect((await store.get(name)).id).toBe(v2.config);
  expect((await store.get(v1.config)).names).toEqual([]);
  expect((await store.get(v1.config.slice(7, 19))).id).toBe(v1.config);
  expect((await store.get(v1.config.slice(0, 19).replace(":", "-"))).id).toBe(v1.config);
  expect((await store.get(v1.manifest)).id).toBe(v1.config);
  expect((await store.get(`${name}@${v2.manifest}`)).id).toBe(v2.config);
  await expect(store.get("nothing")).rejects.toMatchObject({ code: "ERR_IMAGE_NOT_FOUND" });
  await expect(store.get("!")).rejects.toMatchObject({ code: "ERR_IMAGE_NOT_FOUND" });
  registry.tags.set("old", v1);
  expect((await store.pull(`${name}@${v1.manifest}`)).names).toEqual([`${name}@${v1.manifest}`]);
});

it("chooses from an index by platform", async () => {
  await using dir = await memoryDir("index");
  const images = ["arm64", "amd64"].map((architecture) =>
    makeImage([{ entries: [{ name: architecture }] }], { changeConfig: (config) => ({ ...config, architecture }) }),
  );
  const manifests = images.map((image, i) => {
    const platform = { os: "linux", architecture: ["arm64", "amd64"][i] };
    return { mediaType: MANIFEST_TYPE, digest: image.manifest, size: image.manifestBytes.length, platform };
  });
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests }));
  const blobs = new Map(images.flatMap((image) => [...image.blobs]));
  const index = { blobs, manifest: digestOf(bytes), manifestBytes: bytes, config: "", layers: [] };
  blobs.set(digestOf(bytes), bytes);
  await using registry = await startRegistry({ latest: index });
  using opened = await testStore(dir.join("store"));
  for (const [i, architecture] of ["arm64", "amd64"].entries()) {
    const image = await opened.store.pull(`${registry.host}/app`, { platform: { os: "linux", architecture } });
    expect(image).toMatchObject({ id: images[i]?.config, manifestDigest: images[i]?.manifest });
  }
  await expect(
    opened.store.pull(`${registry.host}/app`, { platform: { os: "linux", architecture: "s390x" } }),
  ).rejects.toMatchObject({
    code: "ERR_PLATFORM",
  });
});

it.each([
  ["takes up a broken transfer where it broke", true],
  ["skips what it has when the range is ignored", false],
])("%s", async (_title, knowsRanges) => {
  await using dir = await memoryDir("resume");
  const image = ordinaryImage();
  await using registry = await startRegistry({ latest: image });
  const digest = image.layers[0] ?? "";
  const bytes = image.blobs.get(digest) ?? new Uint8Array(0);
  const breakPoints = [100, 500];
  registry.misbehave = (request, response) => {
    if (request.url?.endsWith(digest) !== true) return false;
    const start = knowsRanges ? Number(/\d+/.exec(request.headers.range ?? "")?.[0] ?? 0) : 0;
    const end = breakPoints.shift();
    if (end === undefined) sendBlob(bytes, knowsRanges ? request.headers.range : undefined, response);
    else breakAt(response, bytes, start, end);
    return true;
  };
  using opened = await testStore(dir.join("store"));
  expect(await opened.store.pull(`${registry.host}/app`)).toMatchObject({ id: image.config });
  const ranges = registry.seen.filter((s) => s.url.endsWith(digest)).map((s) => s.range);
  expect(ranges).toEqual([undefined, "bytes=100-", "bytes=500-"]);
  expect(await opened.store.verify()).toEqual([]);
});

function breakAt(response: ServerResponse, bytes: Uint8Array, start: number, end: number): void {
  const headers = { "content-length": bytes.length - start };
  if (start > 0)
    response.writeHead(206, { ...headers, "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` });
  else response.writeHead(200, headers);
  response.write(bytes.subarray(start, end), () => setImmediate(() => response.destroy()));
}

it("waits as it is told by 429, and then goes on", async () => {
  await using dir = await memoryDir("wait");
  await using registry = await startRegistry({ latest: ordinaryImage() });
  let refusals = 2;
  registry.misbehave = (_request, response) => {
    if (refusals-- <= 0) return false;
    response.writeHead(429, { "retry-after": "1" }).end();
    return true;
  };
  using opened = await testStore(dir.join("store"));
  const started = performance.now();
  await opened.store.pull(`${registry.host}/app`);
  expect(performance.now() - started).toBeGreaterThan(1_900);
});

it("keeps complete layers when the network fails, so that the next try has them", async () => {
  await using dir = await memoryDir("partial");
  const image = ordinaryImage();
  await using registry = await startRegistry({ latest: image });
  registry.misbehave = (request, response) =>
    request.url?.endsWith(image.layers[1] ?? "") === true && response.destroy() !== undefined;
  using opened = await testStore(dir.join("store"));
  await expect(opened.store.pull(`${registry.host}/app`, { parallel: 1 })).rejects.toMatchObject({
    problem: "unreachable",
  });
  expect(await opened.store.list()).toEqual([]);
  registry.misbehave = undefined;
  const requests = registry.seen.length;
  await opened.store.pull(`${registry.host}/app`);
  expect(registry.seen.slice(requests).filter((s) => s.url.endsWith(image.layers[0] ?? "")).length).toBe(0);
});

it("can be stopped at any time", async () => {
  await using dir = await memoryDir("abort");
  const image = ordinaryImage();
  await using registry = await startRegistry({ latest: image });
  registry.misbehave = (request) => request.url?.includes("/blobs/") === true; // never answered
  using opened = await testStore(dir.join("store"));
  const before = await snapshot(dir.path);
  const stop = new AbortController();
  const pulled = opened.store.pull(`${registry.host}/app`, { signal: stop.signal });
  while (!registry.seen.some((s) => s.url.includes("/blobs/"))) await new Promise((resolve) => setTimeout(resolve, 5));
  stop.abort(new Error("enough"));
  await expect(pulled).rejects.toThrow("enough");
  expect(await snapshot(dir.path)).toEqual(before);
  await expect(
    opened.store.pull(`${registry.host}/app`, { signal: AbortSignal.abort(new Error("at once")) }),
  ).rejects.toThrow("at once");
});

/** A second server, to which a registry may redirect. */
async function startElsewhere(
  answer: (url: string, response: ServerResponse) => void,
): Promise<{ host: string; seen: Seen[] } & AsyncDisposable> {
  const seen: Seen[] = [];
  const server: Server = createServer((request, response) => {
    const { authorization, range } = request.headers;
    seen.push({ method: request.method ?? "", url: request.url ?? "", authorization, range });
    answer(request.url ?? "", response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

it("follows a redirect, and tells nobody else who it is", async () => {
  await using dir = await memoryDir("redirect");
  const image = ordinaryImage();
  await using elsewhere = await startElsewhere((url, response) =>
    sendBlob(image.blobs.get(url.slice(1)) ?? new Uint8Array(0), undefined, response),
  );
  await using registry = await startRegistry({ latest: image });
  registry.misbehave = (request, response) => {
    if (request.headers.authorization !== BASIC)
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
    else if (request.url?.includes("/blobs/") === true) {
      response.writeHead(307, { location: `http://web:pw@${elsewhere.host}/${request.url.split("/").at(-1)}` }).end();
    } else return false;
    return true;
  };
  using opened = await testStore(dir.join("store"), { credentials: web });
  await opened.store.pull(`${registry.host}/app`);
  expect(elsewhere.seen.length).toBe(3);
  expect(elsewhere.seen.filter((s) => s.authorization !== undefined)).toEqual([]);
});

it("gives no credentials to a host that it was redirected to and that asks for them", async () => {
  await using dir = await memoryDir("redirect-401");
  await using elsewhere = await startElsewhere(
    (_url, response) => void response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end(),
  );
  await using registry = await startRegistry({ latest: ordinaryImage() });
  registry.misbehave = (_request, response) =>
    responded(response.writeHead(302, { location: `http://${elsewhere.host}/` }).end());
  using opened = await testStore(dir.join("store"), { credentials: web });
  await expect(opened.store.pull(`${registry.host}/app`)).rejects.toMatchObject({
    code: "ERR_REGISTRY",
    problem: "redirect",
  });
  expect(elsewhere.seen.map((s) => s.authorization)).toEqual([undefined]);
});

it("tries mirrors first, and never with the registry's credentials", async () => {
  await using dir = await memoryDir("mirror");
  const image = ordinaryImage();
  await using broken = await startRegistry();
  await using mirror = await startRegistry({ latest: image });
  await using registry = await startRegistry({ latest: image });
  const ours = registry.host;
  const credentials: CredentialStore = {
    find: (host) => (host === ours ? { kind: "basic", username: "web", password: "pw" } : undefined),
  };
  const config = new RegistryConfig({
    registries: [
      {
        prefix: `${ours}/team`,
        mirrors: [{ location: `${broken.host}/x` }, { location: `${mirror.host}/copy/of`, tls: "off" }],
      },
    ],
  });
  for (const server of [broken, mirror]) {
    server.misbehave = (request, response) => {
      if (server === mirror || request.headers.authorization !== undefined) return false;
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      return true;
    };
  }
  using opened = await testStore(dir.join("store"), { credentials, config });
  expect((await opened.store.pull(`${ours}/team/app`)).names).toEqual([`${ours}/team/app:latest`]);
  expect(broken.seen.map((s) => s.url)).toEqual(["/v2/x/app/manifests/latest"]);
  expect(mirror.seen[0]?.url).toBe("/v2/copy/of/app/manifests/latest");
  expect([...broken.seen, ...mirror.seen].filter((s) => s.authorization !== undefined)).toEqual([]);
  expect(registry.seen).toEqual([]);

  mirror.tags.clear();
  registry.tags.clear();
  await expect(opened.store.pull(`${ours}/team/app:other`)).rejects.toThrow(
    /manifests\/other is not there \(tried before: .*wants a login.*; .*is not there\)/,
  );
});

it("gets one token for all requests, again when it has expired, and by identity token", async () => {
  await using dir = await memoryDir("token");
  const image = ordinaryImage();
  await using registry = await startRegistry({ latest: image });
  let valid = "t1";
  const asked: string[] = [];
  registry.misbehave = (request, response) => {
    if (request.url?.startsWith("/token") === true) {
      let body = "";
      request.on("data", (chunk: Buffer) => void (body += chunk.toString()));
      request.on("end", () => {
        asked.push(`${request.method} ${request.url}${body} ${request.headers.authorization ?? "-"}`);
        response.end(JSON.stringify({ access_token: valid, expires_in: 300 }));
      });
      return true;
    }
    if (request.headers.authorization === `Bearer ${valid}`) return false;
    const challenge = `Bearer realm="http://${registry.host}/token",service="s",scope="repository:app:pull"`;
    response.writeHead(401, { "www-authenticate": challenge }).end();
    return true;
  };
  using opened = await testStore(dir.join("store"), { credentials: web });
  await opened.store.pull(`${registry.host}/app`);
  expect(asked).toEqual([`GET /token?scope=repository%3Aapp%3Apull&service=s ${BASIC}`]);
  valid = "t2";
  await opened.store.pull(`${registry.host}/app`);
  expect(asked).toHaveLength(2);

  const identity: CredentialStore = { find: () => ({ kind: "identity", token: "refresh me" }) };
  using other = await testStore(dir.join("other"), { credentials: identity });
  await other.store.pull(`${registry.host}/app`);
  expect(asked[2]).toBe(
    "POST /tokenscope=repository%3Aapp%3Apull&service=s&grant_type=refresh_token&refresh_token=refresh+me&client_id=keelson -",
  );
});

it("says where to put a login when there is none", async () => {
  await using dir = await memoryDir("login");
  await using registry = await startRegistry();
  registry.misbehave = (_request, response) =>
    responded(response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end());
  using opened = await testStore(dir.join("store"));
  await expect(opened.store.pull(`${registry.host}/app`)).rejects.toThrow(
    /wants a login \(basic\); put one for 127\.0\.0\.1:\d+ into \/etc\/containers\/auth\.json/,
  );
});
