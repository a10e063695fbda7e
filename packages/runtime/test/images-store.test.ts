import { createCipheriv } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeTar } from "@keelson/oci/testing";
import { Prng, runProcess, startProcess, type TempDir, tempDir } from "@keelson/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openImageStore } from "../src/image/index.ts";
import { bundleProgram } from "./images/bundle.ts";
import { type MadeImage, makeImage, ordinaryImage, writeLayout } from "./images/make-image.ts";
import { snapshot } from "./images/store-helpers.ts";

let programs: TempDir;
let workerFile = "";
beforeAll(async () => {
  programs = await tempDir("programs");
  workerFile = await bundleProgram(join(import.meta.dirname, "images/store-worker.ts"), programs.join("worker.mjs"));
});
afterAll(() => programs[Symbol.asyncDispose]());
const DAY_MS = 24 * 3_600_000;

function noise(bytes: number, seed: number): Uint8Array {
  return createCipheriv("aes-128-ctr", Buffer.alloc(16, seed), Buffer.alloc(16)).update(new Uint8Array(bytes));
}

/** An image of a layer that all share and one of its own. */
function sharing(seed: number, bytes = 400_000): MadeImage {
  return makeImage([
    { tar: makeTar([{ name: "shared", content: noise(bytes, 1) }]), compression: "none" },
    { tar: makeTar([{ name: `own${seed}`, content: noise(bytes, seed) }]), compression: "none" },
  ]);
}

async function leftovers(root: string): Promise<string[]> {
  return [...(await readdir(join(root, "tmp"))), ...(await readdir(join(root, "claims")))];
}

it("is whole after a kill -9 at any moment of an import, and the next import completes", async () => {
  const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
  process.stdout.write(`SEED=${seed}\n`);
  const prng = new Prng(seed);
  await using dir = await tempDir("kill");
  await writeLayout(sharing(2, 1_000_000), dir.join("layout"));
  const root = dir.join("store");
  const store = await openImageStore({ root });
  let killed = 0;
  for (let round = 0; round < 14; round++) {
    // Half of them at an exact event, half at a moment of the clock, which also hits what has no event.
    const isExact = round % 2 === 0;
    const worker = startProcess(process.execPath, [
      workerFile,
      root,
      "import",
      dir.join("layout"),
      isExact ? String(1 + prng.below(14)) : "0",
    ]);
    const timer = isExact ? undefined : setTimeout(() => worker.kill("SIGKILL"), 90 + prng.below(160));
    const { signal } = await worker.waitForExit();
    clearTimeout(timer);
    if (signal === "SIGKILL") killed++;
    for (const image of await store.list()) expect(image.layers).toHaveLength(2);
    expect(await store.verify()).toEqual([]);
    if (round % 5 === 4) for (const image of await store.list()) await store.remove(image.id);
  }
  expect(killed).toBeGreaterThan(3);
  await store.importLayout(dir.join("layout"));
  await store.gc();
  expect(await leftovers(root)).toEqual([]);
  expect((await snapshot(root)).filter((line) => /\/(layers|blobs|images|names)\//.test(line))).toHaveLength(
    2 + 2 + 1 + 1,
  );
});

it("lets two processes import the same image at once", async () => {
  await using dir = await tempDir("two");
  await writeLayout(sharing(2), dir.join("layout"));
  const root = dir.join("store");
  const runs = await Promise.all(
    [0, 1, 2].map(() => runProcess(process.execPath, [workerFile, root, "import", dir.join("layout")])),
  );
  expect(runs.map((run) => run.stderr + run.code)).toEqual(["0", "0", "0"]);
  const store = await openImageStore({ root });
  expect(await store.list()).toHaveLength(1);
  expect(await store.verify()).toEqual([]);
  expect(await leftovers(root)).toEqual([]);
});

it("never takes a layer from an image that another process is just importing", async () => {
  await using dir = await tempDir("race");
  const root = dir.join("store");
  for (const n of [2, 3, 4]) await writeLayout(sharing(n, 50_000), dir.join(`layout${n}`), `app:v${n}`);
  const runs = await Promise.all(
    [2, 3, 4].map((n) => runProcess(process.execPath, [workerFile, root, "cycle", dir.join(`layout${n}`), "10"])),
  );
  expect(runs.map((run) => run.stderr + run.code)).toEqual(["0", "0", "0"]);
  expect((await snapshot(root)).filter((line) => !line.endsWith(" -"))).toEqual([]);
});

it("says that the disk is full, leaves nothing, and goes on when there is room", async () => {
  await using dir = await tempDir("full");
  await writeLayout(sharing(2, 3_000_000), dir.join("big"));
  await writeLayout(ordinaryImage(), dir.join("small"));
  const worker = (layout: string, reserve: number) =>
    `${process.execPath} ${workerFile} store full ${layout} ${reserve}`;
  const script = `set -eu
    mkdir store; mount -t tmpfs -o size=5m tmpfs store
    ${worker("small", 0)}; find store -type f | sort > before; cksum $(cat before) >> before
    ${worker("big", 0)}; find store -type f | sort > after; cksum $(cat after) >> after
    cmp before after
    ${worker("big", 4_000_000)}; ${worker("small", 0)}
    mount -o remount,size=20m store; ${worker("big", 1_000_000)}`;
  const result = await runProcess("unshare", ["-m", "sh", "-c", script], { cwd: dir.path });
  expect(result.stderr + result.stdout).toBe("imported\nERR_STORE_FULL\nERR_STORE_FULL\nimported\nimported\n");
});

it("takes good layers away again when their image cannot be recorded", async () => {
  await using dir = await tempDir("unrecorded");
  const image = sharing(2, 5_000);
  await writeLayout(image, dir.join("layout"));
  const store = await openImageStore({ root: dir.join("store") });
  await mkdir(dir.join("store/blobs", image.config.replace(":", "-")));
  const before = await snapshot(dir.join("store"));
  await expect(store.importLayout(dir.join("layout"))).rejects.toMatchObject({ code: "EISDIR" });
  expect(await snapshot(dir.join("store"))).toEqual(before);
});

it("holds no more than it may", async () => {
  await using dir = await tempDir("limit");
  const store = await openImageStore({ root: dir.join("store"), bytesMax: 1_200_000 });
  await writeLayout(sharing(2), dir.join("two"));
  await writeLayout(sharing(3), dir.join("three"), "app:v3");
  await store.importLayout(dir.join("two"));
  const before = await snapshot(dir.join("store"));
  // The shared layer is there already, the other one is too much: 3 × 400 kB and the images' blocks.
  await expect(store.importLayout(dir.join("three"))).rejects.toThrow(/may hold 1200000 bytes/);
  expect(await snapshot(dir.join("store"))).toEqual(before);
});

it("removes with its layers what nobody needs, and nothing that a pod needs", async () => {
  await using dir = await tempDir("remove");
  const root = dir.join("store");
  const used = new Set<`${string}:${string}`>();
  const store = await openImageStore({ root, inUse: async () => used });
  const images: MadeImage[] = [];
  for (const n of [2, 3]) {
    images.push(sharing(n, 50_000));
    await writeLayout(sharing(n, 50_000), dir.join(`layout${n}`), `app:v${n}`);
    await store.importLayout(dir.join(`layout${n}`));
  }
  const [two, three] = images;
  used.add(two?.config as `${string}:${string}`);
  await expect(store.remove("app:v2")).rejects.toMatchObject({ code: "ERR_IMAGE_IN_USE" });
  const { id, freedBytes } = await store.remove("app:v3");
  expect(id).toBe(three?.config);
  expect(freedBytes).toBeGreaterThan(50_000);
  expect(freedBytes).toBeLessThan(70_000);
  expect((await store.list()).map((image) => image.id)).toEqual([two?.config]);
  expect(await store.verify()).toEqual([]);
  await expect(store.remove("app:v3")).rejects.toMatchObject({ code: "ERR_IMAGE_NOT_FOUND" });

  // A pod also keeps the layers of an image that is gone.
  await store.importLayout(dir.join("layout3"));
  const layer = (await store.get("app:v3")).layers[1];
  used.clear();
  used.add(layer?.diffId ?? "x:y");
  await store.remove("app:v3");
  expect(await stat(layer?.erofsPath ?? "")).toBeDefined();
  used.clear();
  await store.gc({ graceMs: 0 });
  expect((await snapshot(root)).filter((line) => !line.endsWith(" -"))).toEqual([]);
});

it("collects what was not used for the grace time, and what crashed processes left", async () => {
  await using dir = await tempDir("gc");
  const root = dir.join("store");
  const store = await openImageStore({ root });
  for (const n of [2, 3]) {
    await writeLayout(sharing(n, 5_000), dir.join(`layout${n}`), `app:v${n}`);
    await store.importLayout(dir.join(`layout${n}`));
  }
  await writeFile(join(root, "tmp/layer.00000000-1-1.abc"), "left by a crash");
  await writeFile(join(root, "claims/claim.00000000-1-1.abc"), "[]");
  await writeFile(join(root, "layers/sha256-orphan.erofs"), "of no image");
  const young = await store.gc();
  expect(young).toEqual({ removed: [], freedBytes: 0 });
  expect(await leftovers(root)).toEqual([]);
  const old = new Date(Date.now() - 2 * DAY_MS);
  for (const dirName of ["images", "layers", "blobs"]) {
    for (const name of await readdir(join(root, dirName))) await utimes(join(root, dirName, name), old, old);
  }
  const kept = await store.get("app:v2");
  const { removed } = await store.gc();
  expect(removed).toHaveLength(1);
  expect((await store.list()).map((image) => image.id)).toEqual([kept.id]);
  expect(await store.verify()).toEqual([]);
  expect(await readdir(join(root, "layers"))).toHaveLength(2);
});

it("puts back what a sweep that crashed had taken out", async () => {
  await using dir = await tempDir("taken");
  const root = dir.join("store");
  const store = await openImageStore({ root });
  await writeLayout(sharing(2, 5_000), dir.join("layout"));
  const [image] = await store.importLayout(dir.join("layout"));
  const path = image?.layers[0]?.erofsPath ?? "";
  await rename(path, join(root, `tmp/taken.00000000-1-1.abc.layers.${path.split("/").at(-1)}`));
  await expect(store.get("app:v1")).rejects.toThrow(/not all of its layers/);
  await store.gc();
  expect((await store.get("app:v1")).layers[0]?.erofsPath).toBe(path);
  expect(await store.verify()).toEqual([]);
});

it("finds damage, removes it when told, and is whole again after the next import", async () => {
  await using dir = await tempDir("verify");
  const root = dir.join("store");
  const store = await openImageStore({ root });
  await writeLayout(sharing(2, 50_000), dir.join("layout"));
  const [image] = await store.importLayout(dir.join("layout"));
  const good = await snapshot(root);
  const path = image?.layers[1]?.erofsPath ?? "";
  for (const [offset, problem] of [
    [1_500, /superblock/],
    [20_000, /not what was written/],
  ] as const) {
    const handle = await open(path, "r+");
    await handle.write(new Uint8Array([0x55, 0xaa]), 0, 2, offset);
    await handle.close();
    const damages = await store.verify({ remove: true });
    expect(damages).toEqual([{ path, problem: expect.stringMatching(problem), images: [image?.id] }]);
    await expect(store.get("app:v1")).rejects.toMatchObject({ code: "ERR_IMAGE_NOT_FOUND" });
    await store.importLayout(dir.join("layout"));
    expect(await snapshot(root)).toEqual(good);
  }
});

it("makes a damaged record anew, and does without a damaged name", async () => {
  await using dir = await tempDir("records");
  const root = dir.join("store");
  const store = await openImageStore({ root });
  await writeLayout(sharing(2, 5_000), dir.join("layout"));
  const [image] = await store.importLayout(dir.join("layout"));
  for (const name of ["images", "names"]) {
    const [file = ""] = await readdir(join(root, name));
    await writeFile(join(root, name, file), '{"version":1,"id":');
  }
  expect(await store.list()).toMatchObject([
    { id: image?.id, names: [], layers: image?.layers, manifestDigest: image?.manifestDigest },
  ]);
  await rm(join(root, "blobs"), { recursive: true });
  expect(await store.list()).toEqual([]);
  await store.importLayout(dir.join("layout")).catch(() => undefined);
});
