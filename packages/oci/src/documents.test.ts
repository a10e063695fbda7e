import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkLayout,
  choosePlatform,
  type Descriptor,
  ImageDocumentError,
  type Platform,
  parseConfig,
  parseManifest,
  parseSaved,
  platformDistance,
} from "./index.ts";
import { returnsOrThrows } from "./testing/thrown-by.ts";

const OCI = "application/vnd.oci.image";
const DIGEST = `sha256:${"0".repeat(64)}`;
const bytes = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const descriptor = (more: object = {}) => ({ mediaType: `${OCI}.config.v1+json`, digest: DIGEST, size: 2, ...more });
const layer = (more: object = {}) => descriptor({ mediaType: `${OCI}.layer.v1.tar+gzip`, ...more });
const manifest = (more: object = {}) => ({ schemaVersion: 2, config: descriptor(), layers: [layer()], ...more });

describe("parseManifest", () => {
  it("reads a manifest and says how layers are packed", () => {
    const result = parseManifest(bytes(manifest({ mediaType: `${OCI}.manifest.v1+json` })));
    expect(result).toMatchObject({ kind: "manifest", layers: [{ compression: "gzip", size: 2 }] });
  });

  it("takes Docker's twins, null for an empty list, and a descriptor's own data", () => {
    const docker = "application/vnd.docker";
    const text = manifest({
      mediaType: `${docker}.distribution.manifest.v2+json`,
      config: descriptor({ mediaType: `${docker}.container.image.v1+json`, data: "e30=" }),
      layers: null,
    });
    const result = parseManifest(bytes(text), `${docker}.distribution.manifest.v2+json`);
    expect(result).toMatchObject({ kind: "manifest", layers: [], config: { data: bytes("{}") } });
  });

  it("reads an index", () => {
    const platform = { os: "linux", architecture: "arm", variant: "v7" };
    const text = { schemaVersion: 2, manifests: [descriptor({ mediaType: `${OCI}.manifest.v1+json`, platform })] };
    expect(parseManifest(bytes(text))).toMatchObject({ kind: "index", manifests: [{ platform }] });
  });

  it.each([
    ["no JSON", "x", /not JSON/],
    ["a list", [], /not an object/],
    ["not UTF-8", new Uint8Array([0x22, 0xff, 0x22]), /UTF-8/],
    ["version 1", { schemaVersion: 1, config: descriptor(), layers: [] }, /schemaVersion: is not 2/],
    ["signed version 1", manifest({ fsLayers: [] }), /fsLayers/],
    ["both kinds", manifest({ manifests: [] }), /media type|belong/],
    [
      "an index with layers",
      { schemaVersion: 2, mediaType: `${OCI}.index.v1+json`, manifests: [], layers: [] },
      /layers: does not belong/,
    ],
    ["neither kind", { schemaVersion: 2 }, /media type/],
    [
      "another type than served",
      manifest({ mediaType: `${OCI}.index.v1+json` }),
      /was served as/,
      `${OCI}.manifest.v1+json`,
    ],
    ["an unknown type", manifest({ mediaType: "text/html" }), /neither/],
    ["a negative size", manifest({ layers: [layer({ size: -1 })] }), /layers\[0\]\.size: is not an integer/],
    ["a broken size", manifest({ layers: [layer({ size: 1.5 })] }), /size/],
    ["an enormous size", manifest({ layers: [layer({ size: 1e300 })] }), /size/],
    ["a size as text", manifest({ layers: [layer({ size: "2" })] }), /not a number/],
    ["no digest", manifest({ layers: [layer({ digest: undefined })] }), /digest: is missing/],
    ["a path for a digest", manifest({ layers: [layer({ digest: "sha256:../../x" })] }), /not a digest/],
    ["a short digest", manifest({ layers: [layer({ digest: "sha256:00" })] }), /not a digest/],
    ["a media type that is none", manifest({ layers: [layer({ mediaType: "tar gz" })] }), /not a media type/],
    ["an artifact", manifest({ layers: [layer({ mediaType: "application/spdx+json" })] }), /not a layer/],
    ["too many layers", manifest({ layers: Array.from({ length: 300 }, () => layer()) }), /300 elements/],
    ["data of another size", manifest({ config: descriptor({ data: "e30K" }) }), /holds 3 bytes/],
    ["data that is no base64", manifest({ config: descriptor({ data: "*" }) }), /base64/],
    [
      "two configs",
      `{"schemaVersion":2,"config":${JSON.stringify(descriptor())},"config":${JSON.stringify(descriptor())},"layers":[]}`,
      /twice/,
    ],
  ])("refuses %s", (_title, value, why, mediaType?: string) => {
    const input = value instanceof Uint8Array ? value : bytes(value);
    expect(() => parseManifest(input, mediaType)).toThrow(ImageDocumentError);
    expect(() => parseManifest(input, mediaType)).toThrow(why);
  });

  it("refuses five megabytes", () => {
    expect(() => parseManifest(new Uint8Array(5 * 1024 * 1024))).toThrow(/limit/);
  });

  it("gives a document or an ImageDocumentError, whatever value is put in place of another", () => {
    const paths = ["schemaVersion", "mediaType", "config", "layers", "annotations", "manifests"];
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.jsonValue(), (key, value) => {
        const parse = () => parseManifest(bytes({ ...manifest(), [key]: value }));
        expect(returnsOrThrows(parse, ImageDocumentError)).toBe(true);
      }),
    );
  });
});

describe("parseConfig", () => {
  const config = (more: object = {}, run: object = {}) => ({
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: [DIGEST] },
    config: run,
    ...more,
  });

  it("reads what an image says of how it is run", () => {
    const { run, diffIds } = parseConfig(
      bytes(
        config(
          {},
          {
            User: "web",
            Env: ["A=b", "EMPTY"],
            Entrypoint: null,
            Cmd: ["sh"],
            ExposedPorts: { "80/tcp": {}, "90-91/udp": {} },
            Volumes: { "/data": {} },
            StopSignal: "SIGINT",
          },
        ),
      ),
    );
    expect(diffIds).toEqual([DIGEST]);
    expect(run).toMatchObject({
      user: "web",
      env: ["A=b", "EMPTY="],
      entrypoint: [],
      cmd: ["sh"],
      volumes: ["/data"],
      stopSignal: "SIGINT",
    });
    expect(run.exposedPorts).toEqual([
      { port: 80, protocol: "tcp" },
      { port: 90, protocol: "udp" },
      { port: 91, protocol: "udp" },
    ]);
  });

  it("does without the part for running", () => {
    const { run } = parseConfig(bytes(config({ config: undefined })));
    expect(run).toMatchObject({ user: "", env: [], cmd: [], workingDir: "" });
  });

  it.each([
    ["no rootfs", config({ rootfs: undefined }), /not the config of an image/],
    ["another type of rootfs", config({ rootfs: { type: "snapshot", diff_ids: [] } }), /layers/],
    ["a bad diff id", config({ rootfs: { type: "layers", diff_ids: ["x"] } }), /diff_ids\[0\]/],
    ["an argument with NUL", config({}, { Cmd: ["a\0b"] }), /NUL/],
    ["a nameless variable", config({}, { Env: ["=x"] }), /without a name/],
    ["a port of no range", config({}, { ExposedPorts: { "70000/tcp": {} } }), /not a port/],
    ["a volume that leaves", config({}, { Volumes: { "/a/../..": {} } }), /absolute path/],
    ["a relative volume", config({}, { Volumes: { a: {} } }), /absolute path/],
    ["a command that is text", config({}, { Cmd: "sh" }), /not a list/],
  ])("refuses %s", (_title, value, why) => expect(() => parseConfig(bytes(value))).toThrow(why));
});

describe("parseSaved and checkLayout", () => {
  it("reads docker save's list", () => {
    expect(parseSaved(bytes([{ Config: "a.json", RepoTags: null, Layers: ["b/layer.tar"] }]))).toEqual([
      { config: "a.json", repoTags: [], layers: ["b/layer.tar"] },
    ]);
    expect(() => parseSaved(bytes({}))).toThrow(/not a list/);
    expect(() => parseSaved(bytes('[]}{"images":[]'))).toThrow(ImageDocumentError);
  });

  it("knows version 1 of the layout", () => {
    checkLayout(bytes({ imageLayoutVersion: "1.0.0" }));
    expect(() => checkLayout(bytes({ imageLayoutVersion: "2.0.0" }))).toThrow(/1\.x/);
    expect(() => checkLayout(bytes({}))).toThrow(/missing/);
  });
});

describe("platforms", () => {
  const p = (text: string): Platform => {
    const [os = "", architecture = "", variant] = text.split("/");
    return { os, architecture, ...(variant === undefined ? {} : { variant }) };
  };

  it.each([
    ["linux/amd64", "linux/amd64", 0],
    ["linux/x86_64", "linux/amd64/v1", 0],
    ["linux/amd64", "linux/amd64/v3", undefined],
    ["linux/amd64/v3", "linux/amd64", 2],
    ["linux/arm", "linux/arm/v6", 1],
    ["linux/arm/v6", "linux/arm/v7", undefined],
    ["linux/arm64", "linux/aarch64/v8", 0],
    ["linux/arm64", "linux/arm", undefined],
    ["linux/amd64", "windows/amd64", undefined],
    ["linux/riscv64", "linux/riscv64", 0],
  ])("for %s, %s is at %s", (want, have, distance) => expect(platformDistance(p(want), p(have))).toBe(distance));

  const entry = (platform: string | undefined, n: number): Descriptor => ({
    mediaType: `${OCI}.manifest.v1+json`,
    digest: `sha256:${String(n).repeat(64)}`,
    size: 1,
    ...(platform === undefined ? {} : { platform: p(platform) }),
  });

  it.each([
    ["the nearest variant", ["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"], "linux/arm", 1],
    ["the first of equals", ["linux/amd64", "linux/amd64"], "linux/amd64", 0],
    ["an attestation is none", ["unknown/unknown", "linux/amd64"], "linux/amd64", 1],
    ["a single one without platform", [undefined], "linux/amd64", 0],
  ])("%s", (_title, there, want, index) => {
    expect(choosePlatform(there.map(entry), p(want)).digest).toBe(`sha256:${String(index).repeat(64)}`);
  });

  it("says what there is", () => {
    expect(() => choosePlatform([entry("linux/arm64", 1), entry("windows/amd64", 2)], p("linux/amd64"))).toThrow(
      "there is no image for linux/amd64; the index has linux/arm64, windows/amd64",
    );
    expect(() => choosePlatform([], p("linux/amd64"))).toThrow(/has nothing/);
  });
});
