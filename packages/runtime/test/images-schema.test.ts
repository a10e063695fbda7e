import { mkdir, readdir, readFile, rename } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { run } from "@keelson/linux";
import { parseConfig, parseManifest } from "@keelson/oci";
import { tempDir, withFileLock } from "@keelson/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonSchema } from "./harness/json-schema.ts";
import { digestOf, makeImage } from "./images/make-image.ts";
import { testStore } from "./images/store-helpers.ts";
import { makeUmociImage, must } from "./images/upstream.ts";

/** Debian's package of image-spec, which has the schema; fetched once and kept, not in this repository. */
const PACKAGE = "golang-github-opencontainers-image-spec-dev";
const INSIDE = "usr/share/gocode/src/github.com/opencontainers/image-spec/schema";

const schema = await loadSchema();
if (typeof schema === "string") process.stderr.write(`skipping the check against image-spec's schema: ${schema}\n`);

async function loadSchema(): Promise<JsonSchema | string> {
  const root = join(process.env["KEELSON_CACHE"] ?? join(homedir(), ".cache", "keelson"), "image-spec");
  const home = join(root, "files");
  try {
    await mkdir(root, { recursive: true });
    await withFileLock(join(root, ".lock"), async () => {
      if ((await readdir(join(home, INSIDE)).catch(() => [])).length > 0) return;
      await using work = await tempDir("specs");
      await run(["apt-get", "download", PACKAGE], { cwd: work.path, timeoutMs: 60_000 });
      const [deb = ""] = (await readdir(work.path)).filter((name) => name.endsWith(".deb"));
      await run(["dpkg-deb", "-x", join(work.path, deb), join(root, "files.new")]);
      await rename(join(root, "files.new"), home);
    });
    const files = new Map<string, unknown>();
    for (const name of (await readdir(join(home, INSIDE))).filter((n) => n.endsWith(".json"))) {
      files.set(name, withoutFormats(JSON.parse(await readFile(join(home, INSIDE, name), "utf8"))));
    }
    return new JsonSchema(files);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Formats are remarks to the reader for most validators, too. */
function withoutFormats(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutFormats);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([key, v]) => !(key === "format" && typeof v === "string"));
  return Object.fromEntries(kept.map(([key, v]) => [key, withoutFormats(v)]));
}

describe.skipIf(typeof schema === "string")("image-spec's own schema", () => {
  const judge = schema as JsonSchema;
  const image = makeImage([{ entries: [{ name: "a" }] }], {
    run: {
      User: "web",
      Env: ["A=b"],
      Entrypoint: ["/e"],
      ExposedPorts: { "80/tcp": {} },
      Volumes: { "/v": {} },
      Labels: { a: "b" },
      StopSignal: "SIGTERM",
    },
  });
  const manifest = JSON.parse(Buffer.from(image.manifestBytes).toString()) as Record<string, unknown>;
  const config = JSON.parse(Buffer.from(image.blobs.get(image.config) ?? "").toString()) as Record<string, unknown>;

  it("agrees with what we take and what we make", async () => {
    expect(judge.check(manifest as never, "image-manifest-schema.json")).toEqual([]);
    expect(judge.check(config as never, "config-schema.json")).toEqual([]);
    await using dir = await tempDir("schema");
    await makeUmociImage(dir.path);
    await must("skopeo", ["copy", "-q", "oci:layout:v1", "docker-archive:saved.tar:a/b:c"], dir.path);
    using opened = await testStore(dir.join("store"));
    const [stored] = await opened.store.importArchive(dir.join("saved.tar"));
    const bytes = await readFile(dir.join("store/blobs", (stored?.manifestDigest ?? "").replace(":", "-")));
    // docker save has no manifest: this one is ours.
    expect(digestOf(bytes)).toBe(stored?.manifestDigest);
    expect(judge.check(JSON.parse(bytes.toString()) as never, "image-manifest-schema.json")).toEqual([]);
  });

  const odd = fc.oneof(
    fc.jsonValue({ maxDepth: 1 }),
    fc.constantFrom<unknown>(-1, 1.5, 2 ** 60, "", "x", "sha256:x", [], {}, [{}], null, true),
  );

  function changed(document: Record<string, unknown>, path: string, value: unknown): Record<string, unknown> {
    const copy = structuredClone(document);
    const keys = path.split(".");
    const last = keys.pop() ?? "";
    const at = keys.reduce<Record<string, unknown>>((o, key) => o[key] as Record<string, unknown>, copy);
    if (value === undefined) delete at[last];
    else at[last] = value;
    return copy;
  }

  const accepts = (parse: (bytes: Uint8Array) => unknown, document: unknown) => {
    try {
      parse(Buffer.from(JSON.stringify(document)));
      return true;
    } catch {
      return false;
    }
  };

  it.each([
    "schemaVersion",
    "config",
    "config.mediaType",
    "config.digest",
    "config.size",
    "layers.0",
    "layers.0.digest",
    "layers.0.size",
    "layers.0.mediaType",
  ])("we refuse every manifest that it refuses for its %s", (path) => {
    fc.assert(
      fc.property(fc.option(odd, { nil: undefined }), (value) => {
        const document = changed(manifest, path, value);
        const isRefused = judge.check(document as never, "image-manifest-schema.json").length > 0;
        expect(isRefused && accepts(parseManifest, document)).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    "architecture",
    "os",
    "rootfs",
    "rootfs.type",
    "rootfs.diff_ids",
    "config.User",
    "config.Env",
    "config.Cmd",
    "config.WorkingDir",
    "config.StopSignal",
  ])("we refuse every config that it refuses for its %s, but for null", (path) => {
    fc.assert(
      fc.property(
        odd.filter((value) => value !== null),
        (value) => {
          const document = changed(config, path, value);
          const isRefused = judge.check(document as never, "config-schema.json").length > 0;
          expect(isRefused && accepts(parseConfig, document)).toBe(false);
        },
      ),
      { numRuns: 60 },
    );
  });
});
