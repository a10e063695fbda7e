import type { ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import { type MadeEntry, makeTar } from "@keelson/oci/testing";
import { describe, expect, it } from "vitest";
import {
  digestOf,
  INDEX_TYPE,
  MANIFEST_TYPE,
  type MadeImage,
  type MadeLayer,
  makeImage,
  ordinaryImage,
} from "./images/make-image.ts";
import { responded, sendBlob, startRegistry, type TestRegistry } from "./images/registry.ts";
import { memoryDir, snapshot, testStore } from "./images/store-helpers.ts";

/** A registry that means harm: each trick is refused with its reason, and the store is byte for byte what it was. */

interface Trick {
  readonly image?: MadeImage;
  readonly misbehave?: (registry: TestRegistry, image: MadeImage) => TestRegistry["misbehave"];
  readonly name?: (image: MadeImage) => string;
  /** `code` or `code problem` of the error. */
  readonly refused: string;
  readonly says?: RegExp;
  readonly requestsMax?: number;
  /** A failure of the network: layers that are complete stay for the next try. */
  readonly keepsLayers?: boolean;
}

const layerOf = (...entries: MadeEntry[]): MadeImage =>
  makeImage([{ entries: [{ name: "good", content: "x" }] }, { entries }]);
const onBlob = (
  image: MadeImage,
  index: number,
  answer: (bytes: Uint8Array, response: ServerResponse, range?: string) => void,
) =>
  ((request, response) => {
    const digest = image.layers[index] ?? "";
    if (request.url?.endsWith(`/blobs/${digest}`) !== true) return false;
    answer(image.blobs.get(digest) ?? new Uint8Array(0), response, request.headers.range);
    return true;
  }) satisfies TestRegistry["misbehave"];
const onManifest = (answer: (response: ServerResponse) => void) =>
  ((request, response) => {
    if (request.url?.includes("/manifests/") !== true) return false;
    answer(response);
    return true;
  }) satisfies TestRegistry["misbehave"];
const bigZeros = (bytes: number): MadeLayer => ({ tar: makeTar([{ name: "zeros", content: new Uint8Array(bytes) }]) });

const TRICKS: Record<string, Trick> = {
  "a layer with one bit changed": {
    misbehave: (_, image) =>
      onBlob(image, 1, (bytes, response) => sendBlob(bytes.with(20, (bytes[20] ?? 0) ^ 1), undefined, response)),
    refused: "ERR_CONTENT digest",
  },
  "another good layer under its digest": {
    misbehave: (_, image) =>
      onBlob(image, 0, (bytes, response) =>
        sendBlob(Buffer.alloc(bytes.length, image.blobs.get(image.layers[1] ?? "") ?? ""), undefined, response),
      ),
    refused: "ERR_CONTENT digest",
  },
  "a Content-Length that is not the manifest's size": {
    image: makeImage([{ entries: [{ name: "a" }], size: 999 }]),
    refused: "ERR_CONTENT size",
    says: /the manifest says 999/,
  },
  "more bytes than stated, without a length": {
    misbehave: (_, image) =>
      onBlob(
        image,
        0,
        (bytes, response) => void response.writeHead(200).end(Buffer.concat([bytes, Buffer.alloc(100)])),
      ),
    refused: "ERR_CONTENT size",
    says: /more bytes came/,
  },
  "a layer that is always cut short": {
    misbehave: (_, image) =>
      onBlob(image, 0, (bytes, response) => void response.writeHead(200).end(bytes.subarray(0, 10))),
    refused: "ERR_REGISTRY unreachable",
    says: /broke off/,
    requestsMax: 12,
    keepsLayers: true,
  },
  "a connection that is always reset": {
    misbehave: (_, image) => onBlob(image, 0, (_bytes, response) => void response.destroy()),
    refused: "ERR_REGISTRY unreachable",
    requestsMax: 12,
    keepsLayers: true,
  },
  "a resumed transfer with another part": {
    misbehave: (_, image) =>
      onBlob(image, 0, (bytes, response, range) => {
        if (range === undefined) breakAfter(response, bytes, 100);
        else response.writeHead(206, { "content-range": `bytes 0-${bytes.length - 1}/${bytes.length}` }).end(bytes);
      }),
    refused: "ERR_CONTENT size",
    says: /another part/,
  },
  "a resumed transfer with other content": {
    misbehave: (_, image) =>
      onBlob(image, 0, (bytes, response, range) => {
        if (range === undefined) breakAfter(response, bytes, 100);
        else sendBlob(new Uint8Array(bytes.length), range, response);
      }),
    refused: "ERR_CONTENT digest",
  },
  "a layer in a transfer encoding": {
    misbehave: (_, image) =>
      onBlob(image, 0, (bytes, response) => void response.writeHead(200, { "content-encoding": "gzip" }).end(bytes)),
    refused: "ERR_CONTENT encoding",
  },
  "401 without end": {
    misbehave: () => (_request, response) => {
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      return true;
    },
    refused: "ERR_REGISTRY unauthorized",
    requestsMax: 3,
  },
  "401 without end, with a token server": {
    misbehave: (registry) => (request, response) => {
      if (request.url?.startsWith("/token") === true) response.end('{"token":"t"}');
      else response.writeHead(401, { "www-authenticate": `Bearer realm="http://${registry.host}/token"` }).end();
      return true;
    },
    refused: "ERR_REGISTRY unauthorized",
    says: /keeps asking/,
    requestsMax: 6,
  },
  "a token server that talks nonsense": {
    misbehave: (registry) => (request, response) => {
      if (request.url?.startsWith("/token") === true) response.end("{".repeat(1_000));
      else response.writeHead(401, { "www-authenticate": `Bearer realm="http://${registry.host}/token"` }).end();
      return true;
    },
    refused: "ERR_REGISTRY protocol",
  },
  "a token server that is a file": {
    misbehave: () => (_request, response) =>
      responded(response.writeHead(401, { "www-authenticate": 'Bearer realm="file:///etc/passwd"' }).end()),
    refused: "ERR_REGISTRY protocol",
  },
  "429 without end": {
    misbehave: () => onManifest((response) => void response.writeHead(429, { "retry-after": "0" }).end()),
    refused: "ERR_REGISTRY rate-limited",
    requestsMax: 3,
  },
  "429 until tomorrow": {
    misbehave: () => onManifest((response) => void response.writeHead(429, { "retry-after": "86400" }).end()),
    refused: "ERR_REGISTRY rate-limited",
    says: /come back in 86400 s/,
    requestsMax: 1,
  },
  "500 without end": {
    misbehave: () => onManifest((response) => void response.writeHead(500).end("x".repeat(100_000))),
    refused: "ERR_REGISTRY server-error",
    requestsMax: 3,
  },
  "redirects without end": {
    misbehave: () => (request, response) => responded(response.writeHead(302, { location: `${request.url}?x` }).end()),
    refused: "ERR_REGISTRY redirect",
    requestsMax: 6,
  },
  "a redirect to a file": {
    misbehave: () => (_request, response) =>
      responded(response.writeHead(302, { location: "file:///etc/passwd" }).end()),
    refused: "ERR_REGISTRY redirect",
  },
  "a manifest without end": {
    misbehave: () =>
      onManifest(
        (response) => void response.writeHead(200, { "content-type": MANIFEST_TYPE }).end(Buffer.alloc(5_000_000, " ")),
      ),
    refused: "ERR_REGISTRY too-large",
  },
  "a manifest that is not the digest's": {
    name: (image) => `app@${digestOf(image.manifestBytes.with(3, 0x41))}`,
    misbehave: (_, image) =>
      onManifest(
        (response) => void response.writeHead(200, { "content-type": MANIFEST_TYPE }).end(image.manifestBytes),
      ),
    refused: "ERR_CONTENT digest",
  },
  "a manifest that is not what its header calls it": {
    misbehave: (_, image) =>
      onManifest(
        (response) =>
          void response
            .writeHead(200, { "content-type": MANIFEST_TYPE, "docker-content-digest": image.config })
            .end(image.manifestBytes),
      ),
    refused: "ERR_CONTENT digest",
  },
  "a manifest served as an index": {
    misbehave: (_, image) =>
      onManifest((response) => void response.writeHead(200, { "content-type": INDEX_TYPE }).end(image.manifestBytes)),
    refused: "ERR_IMAGE_DOCUMENT",
    says: /served as/,
  },
  "a web page in place of a manifest": {
    misbehave: () =>
      onManifest((response) => void response.writeHead(200, { "content-type": "text/html" }).end("<html>")),
    refused: "ERR_IMAGE_DOCUMENT",
  },
  "two configs in one manifest": {
    misbehave: (_, image) => {
      const text = Buffer.from(image.manifestBytes)
        .toString()
        .replace('"config":', `"config":{"digest":"${image.manifest}"},"config":`);
      return onManifest((response) => void response.writeHead(200, { "content-type": MANIFEST_TYPE }).end(text));
    },
    refused: "ERR_IMAGE_DOCUMENT",
    says: /twice/,
  },
  "an index that holds itself in circles": {
    misbehave: () => {
      const make = (digest: string, size: number) =>
        Buffer.from(
          JSON.stringify({
            schemaVersion: 2,
            manifests: [{ mediaType: INDEX_TYPE, digest, size, platform: { os: "linux", architecture: "amd64" } }],
          }),
        );
      let bytes = make(`sha256:${"0".repeat(64)}`, 1);
      const chain = new Map<string, Buffer>();
      for (let i = 0; i < 8; i++) {
        chain.set(digestOf(bytes), bytes);
        bytes = make(digestOf(bytes), bytes.length);
      }
      return (request, response) => {
        const found = chain.get(request.url?.split("/").at(-1) ?? "") ?? bytes;
        response.writeHead(200, { "content-type": INDEX_TYPE }).end(found);
        return true;
      };
    },
    refused: "ERR_CONTENT media-type",
    requestsMax: 6,
  },
  "an artifact that is no image": {
    image: makeImage([{ entries: [], mediaType: "application/spdx+json" }]),
    refused: "ERR_IMAGE_DOCUMENT",
    says: /artifact/,
  },
  "a config that is no config": {
    image: makeImage([], { changeConfig: () => ({ hello: 1 }) }),
    refused: "ERR_IMAGE_DOCUMENT",
  },
  "an image for another machine": {
    image: makeImage([{ entries: [] }], { changeConfig: (config) => ({ ...config, architecture: "s390x" }) }),
    refused: "ERR_PLATFORM",
  },
  "a diff id that is not the layer's": {
    image: makeImage([{ entries: [{ name: "a" }], diffId: `sha256:${"1".repeat(64)}` }]),
    refused: "ERR_CONTENT diff-id",
  },
  "fewer diff ids than layers": {
    image: makeImage([{ entries: [] }], {
      changeConfig: (config) => ({ ...config, rootfs: { type: "layers", diff_ids: [] } }),
    }),
    refused: "ERR_CONTENT layers",
  },
  "a zstd layer that is called gzip": {
    image: makeImage([{ entries: [], compression: "zstd", mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" }]),
    refused: "ERR_CONTENT compression",
  },
  "a packed layer that is called plain": {
    image: makeImage([{ entries: [], mediaType: "application/vnd.oci.image.layer.v1.tar" }]),
    refused: "ERR_CONTENT compression",
  },
  "a layer that is no tar": {
    image: makeImage([{ tar: Buffer.alloc(2_000, "no tar") }]),
    refused: "ERR_LAYER not-a-tar",
  },
  "a layer whose compressed data is cut": {
    image: makeImage([
      {
        entries: [{ name: "a", content: "x".repeat(5_000) }],
        blob: gzipSync(makeTar([{ name: "a" }])).subarray(0, 60),
      },
    ]),
    refused: "ERR_CONTENT compression",
  },
  "a layer whose compressed data is changed": {
    image: makeImage([
      {
        entries: [{ name: "a" }],
        blob: gzipSync(makeTar([{ name: "a" }])).map((b, i) => (i > 15 && i < 25 ? 0xff : b)),
      },
    ]),
    refused: "ERR_CONTENT compression",
  },
  "a bomb of 300 MB in 300 KB": {
    image: makeImage([bigZeros(300_000_000)]),
    refused: "ERR_LAYER limit",
    says: /an attack/,
  },
  "a file out of the layer": {
    image: layerOf({ name: "../../etc/passwd", content: "x" }),
    refused: "ERR_LAYER escapes",
  },
  "an absolute file": { image: layerOf({ name: "/etc/passwd", content: "x" }), refused: "ERR_LAYER escapes" },
  "a file through a symlink": {
    image: layerOf({ name: "l", type: "2", linkName: "/etc" }, { name: "l/passwd", content: "x" }),
    refused: "ERR_LAYER through-link",
  },
  "a hard link to the host's file": {
    image: layerOf({ name: "h", type: "1", linkName: "../../../etc/shadow" }),
    refused: "ERR_LAYER escapes",
  },
  "a hard link through a symlink": {
    image: layerOf({ name: "l", type: "2", linkName: "/etc" }, { name: "h", type: "1", linkName: "l/shadow" }),
    refused: "ERR_LAYER through-link",
  },
  "a device of the disk": {
    image: layerOf({ name: "sda", type: "4", major: 8, minor: 0 }),
    refused: "ERR_LAYER device",
  },
  "a sparse file of a petabyte": {
    image: layerOf({ name: "s", pax: { "GNU.sparse.major": "1", "GNU.sparse.realsize": "1000000000000000" } }),
    refused: "ERR_LAYER sparse",
  },
  "a file of a petabyte": {
    image: layerOf({ name: "s", pax: { size: "1000000000000000" } }),
    refused: "ERR_LAYER limit",
  },
};

function breakAfter(response: ServerResponse, bytes: Uint8Array, count: number): void {
  response.writeHead(200, { "content-length": bytes.length });
  response.write(bytes.subarray(0, count), () => response.destroy());
}

describe("a hostile registry", () => {
  it.each(Object.entries(TRICKS))("%s", async (_title, trick) => {
    await using dir = await memoryDir("hostile");
    const image = trick.image ?? ordinaryImage("evil");
    await using registry = await startRegistry({ good: ordinaryImage("good"), latest: image });
    using opened = await testStore(dir.join("store"));
    const { store } = opened;
    await store.pull(`${registry.host}/app:good`);
    const before = await snapshot(dir.path);
    const requestsBefore = registry.seen.length;
    registry.misbehave = trick.misbehave?.(registry, image);

    const name = trick.name?.(image) ?? "app:latest";
    const error = await store.pull(`${registry.host}/${name}`).then(
      () => undefined,
      (e: unknown) => e as Error & { code: string; problem?: string },
    );

    const kind = [error?.code, trick.refused.includes(" ") ? error?.problem : undefined]
      .filter((part) => part !== undefined)
      .join(" ");
    expect(kind).toBe(trick.refused);
    expect(error?.message).toMatch(trick.says ?? /./);
    const added = (await snapshot(dir.path)).filter((line) => !before.includes(line));
    const isKept = trick.keepsLayers === true;
    expect(added.filter((line) => !(isKept && line.startsWith("/store/layers/")))).toEqual([]);
    expect(await snapshot(dir.path)).toEqual([...before, ...added].sort());
    expect(registry.seen.length - requestsBefore).toBeLessThanOrEqual(trick.requestsMax ?? 100);
    registry.misbehave = undefined;
    expect(await store.verify()).toEqual([]);
    expect((await store.list()).map((i) => i.names)).toEqual([[`${registry.host}/app:good`]]);
  });

  it("a dead server is unreachable", async () => {
    await using dir = await memoryDir("dead");
    using opened = await testStore(dir.join("store"));
    const before = await snapshot(dir.path);
    await expect(opened.store.pull("127.0.0.1:1/app")).rejects.toMatchObject({
      code: "ERR_REGISTRY",
      problem: "unreachable",
    });
    expect(await snapshot(dir.path)).toEqual(before);
  });

  it.each([
    ["manifest", "/manifests/"],
    ["layer", "/blobs/"],
  ])("a %s that comes byte by byte is given up", async (_title, part) => {
    await using dir = await memoryDir("trickle");
    await using registry = await startRegistry({ latest: ordinaryImage() });
    const timers = new Set<NodeJS.Timeout>();
    registry.misbehave = (request, response) => {
      if (request.url?.includes(part) !== true) return false;
      response.writeHead(200, { "content-type": MANIFEST_TYPE });
      timers.add(setInterval(() => response.write(" "), 5));
      return true;
    };
    using opened = await testStore(dir.join("store"), { idleMs: 100, retries: 1 });
    const before = await snapshot(dir.path);
    const error = await opened.store.pull(`${registry.host}/app`).catch((e: unknown) => e);
    for (const timer of timers) clearInterval(timer);
    // A config of so many bytes is too large before it is too slow.
    expect(error).toMatchObject({ code: expect.stringMatching(/ERR_REGISTRY|ERR_CONTENT/) });
    expect(await snapshot(dir.path)).toEqual(before);
  });

  it("a server that says nothing is given up", async () => {
    await using dir = await memoryDir("silent");
    await using registry = await startRegistry();
    registry.misbehave = () => true;
    using opened = await testStore(dir.join("store"), { idleMs: 50, retries: 1 });
    await expect(opened.store.pull(`${registry.host}/app`)).rejects.toMatchObject({
      code: "ERR_REGISTRY",
      problem: "unreachable",
    });
    expect(registry.seen).toHaveLength(2);
  });
});
