import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";
import { encodeDirMeta, encodeDirTree } from "../core/encode.ts";
import {
  OstreeCorruptError,
  OstreeFormatError,
  OstreeLockedError,
  OstreeNameError,
  OstreeSpaceError,
} from "../core/errors.ts";
import type { FileHeader } from "../core/objects.ts";
import { fileChecksum, sha256 } from "./hash.ts";
import { initRepo, openRepo } from "./open.ts";
import { prune } from "./prune.ts";

const uid = process.getuid?.() ?? 0;
const gid = process.getgid?.() ?? 0;
const FILE: FileHeader = { uid, gid, mode: 0o100644, symlinkTarget: "", xattrs: [] };
const EMPTY_TREE = encodeDirTree({ files: [], dirs: [] });
const MODES = ["archive", "bare"] as const;
const EMPTY_COMMIT = "e".repeat(64);

async function* chunks(...parts: readonly string[]) {
  for (const part of parts) yield Buffer.from(part);
}

it.each(MODES)("%s: nothing is visible before the end, all of it after", async (mode) => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode });
  const transaction = await repo.transaction();
  const tree = await transaction.writeMetadata("dirtree", EMPTY_TREE);
  const file = await transaction.writeFile(FILE, Buffer.from("hello"));
  transaction.setRef("a/b", EMPTY_COMMIT);
  expect([await transaction.has("dirtree", tree), await transaction.has("file", file)]).toEqual([true, true]);
  expect([await repo.has("dirtree", tree), await repo.has("file", file)]).toEqual([false, false]);
  expect(await repo.resolve("a/b")).toBeUndefined();
  expect(await transaction.commit()).toEqual({ metadataWritten: 1, filesWritten: 1, contentBytes: 5 });
  expect([await repo.has("dirtree", tree), await repo.has("file", file)]).toEqual([true, true]);
  expect(await repo.refs()).toEqual(new Map([["a/b", EMPTY_COMMIT]]));
  expect(readdirSync(join(repo.path, "tmp")).filter((name) => name.startsWith("keelson-"))).toEqual([]);
});

it.each(MODES)("%s: an aborted transaction leaves what was checkpointed, unreferenced", async (mode) => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode });
  const kept = sha256(EMPTY_TREE);
  {
    await using transaction = await repo.transaction();
    await transaction.writeMetadata("dirtree", EMPTY_TREE);
    await transaction.checkpoint();
    await transaction.writeFile(FILE, Buffer.from("lost"));
    transaction.setRef("main", EMPTY_COMMIT);
  }
  expect(await Array.fromAsync(repo.objects())).toEqual([{ type: "dirtree", checksum: kept }]);
  expect(await repo.refs()).toEqual(new Map());
});

it.each(MODES)("%s: files read back, streamed or not, small or large", async (mode) => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode });
  await using transaction = await repo.transaction();
  const large = Buffer.alloc(3_000_000, "some text that compresses, ");
  const contents = [Buffer.alloc(0), Buffer.from("x"), large];
  const stream = async function* () {
    for (let at = 0; at < large.length; at += 70_001) yield large.subarray(at, at + 70_001);
  };
  const checksums = [];
  for (const content of contents) checksums.push(await transaction.writeFile(FILE, content, { size: content.length }));
  // The same large file under another mode, so that it is written and not merely found.
  const streamed = { ...FILE, mode: 0o100600 };
  checksums.push(await transaction.writeFile(streamed, stream()));
  expect(checksums[3]).toBe(fileChecksum(streamed, large));
  const link = { ...FILE, mode: 0o120777, symlinkTarget: "../x" };
  checksums.push(await transaction.writeFile(link, new Uint8Array()));
  await transaction.commit();
  const read = async (checksum: string) => {
    const file = await repo.readFile(checksum);
    return { header: file.header, content: Buffer.concat(await Array.fromAsync(file.content())) };
  };
  expect(await Promise.all(checksums.map(read))).toEqual([
    ...contents.map((content) => ({ header: FILE, content })),
    { header: streamed, content: large },
    { header: link, content: Buffer.alloc(0) },
  ]);
});

it.each(MODES)("%s: refuses what is not what was expected and keeps nothing of it", async (mode) => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode });
  await using transaction = await repo.transaction();
  const wrong = "0".repeat(64);
  await expect(transaction.writeMetadata("dirtree", EMPTY_TREE, wrong)).rejects.toThrow(OstreeCorruptError);
  await expect(transaction.writeMetadata("dirtree", Buffer.from("no tree at all"))).rejects.toThrow(OstreeFormatError);
  await expect(transaction.writeMetadata("commitmeta", new Uint8Array())).rejects.toThrow(OstreeFormatError);
  await expect(transaction.writeFile(FILE, Buffer.from("x"), { expected: wrong })).rejects.toThrow(OstreeCorruptError);
  await expect(transaction.writeFile(FILE, chunks("x", "y"), { expected: wrong })).rejects.toThrow(OstreeCorruptError);
  await expect(transaction.writeFile(FILE, chunks("x", "y"), { size: 3 })).rejects.toThrow(OstreeCorruptError);
  await expect(transaction.writeFile({ ...FILE, mode: 0o120777, symlinkTarget: "x" }, chunks("y"))).rejects.toThrow(
    OstreeCorruptError,
  );
  const broken = (async function* () {
    yield Buffer.from("x");
    throw new Error("the network is gone");
  })();
  await expect(transaction.writeFile(FILE, broken)).rejects.toThrow("the network is gone");
  expect(() => transaction.setRef("../x", wrong)).toThrow(OstreeNameError);
  expect(() => transaction.setRef("main", "no checksum")).toThrow(OstreeNameError);
  await transaction.commit();
  expect(await Array.fromAsync(repo.objects())).toEqual([]);
});

it("many at once write the same objects", async () => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode: "archive" });
  const other = await openRepo(repo.path);
  const write = async (at: typeof repo, ref: string) => {
    await using transaction = await at.transaction();
    const files = Array.from({ length: 40 }, (_, i) => transaction.writeFile(FILE, chunks(`file ${i % 20}`)));
    await Promise.all(files);
    transaction.setRef(ref, EMPTY_COMMIT);
    await transaction.commit();
  };
  await Promise.all(["a", "b", "c", "d"].map((ref, i) => write(i % 2 === 0 ? repo : other, ref)));
  expect((await Array.fromAsync(repo.objects())).length).toBe(20);
  expect([...(await repo.refs()).keys()]).toEqual(["a", "b", "c", "d"]);
});

it("a prune waits for a transaction, and says so when it may not wait longer", async () => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode: "archive" });
  const impatient = await openRepo(repo.path, { lockTimeoutMs: 20 });
  const transaction = await repo.transaction();
  const tree = await transaction.writeMetadata("dirtree", EMPTY_TREE);
  await transaction.checkpoint();
  await expect(prune(impatient)).rejects.toThrow(OstreeLockedError);
  const patient = prune(repo);
  expect(await repo.has("dirtree", tree)).toBe(true);
  await transaction.commit();
  expect(await patient).toMatchObject({ objectsDeleted: 1 });
});

it("stages of owners that died are removed, those of the living are not", async () => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode: "archive" });
  const living = await repo.transaction();
  await living.writeFile(FILE, Buffer.from("x"));
  const stages = () =>
    readdirSync(join(repo.path, "tmp"))
      .filter((name) => name.startsWith("keelson-stage-"))
      .sort();
  const alive = stages();
  mkdirSync(join(repo.path, "tmp/keelson-stage-dead"));
  writeFileSync(join(repo.path, "tmp/keelson-stage-dead/t0"), "x");
  writeFileSync(join(repo.path, "tmp/keelson-stage-dead2.lock"), "");
  await (await repo.transaction()).abort();
  expect(stages()).toEqual(alive);
  await living.commit();
  expect(stages()).toEqual([]);
});

it("keeps the space free that the config reserves", async () => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), {
    mode: "archive",
    config: { core: { "min-free-space-size": "900000TB" } },
  });
  await using transaction = await repo.transaction();
  await expect(transaction.writeFile(FILE, Buffer.from("x"))).rejects.toThrow(OstreeSpaceError);
  await expect(transaction.writeFile(FILE, chunks("x"))).rejects.toThrow(OstreeSpaceError);
  // Metadata is small and may be what frees space.
  await transaction.writeMetadata("dirtree", EMPTY_TREE);
});

it("marks a partial commit at once and unmarks it with the transaction", async () => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode: "bare" });
  {
    await using transaction = await repo.transaction();
    await transaction.setPartial(EMPTY_COMMIT, true);
    expect(await repo.isPartial(EMPTY_COMMIT)).toBe(true);
  }
  expect(await repo.isPartial(EMPTY_COMMIT)).toBe(true);
  await using transaction = await repo.transaction();
  await transaction.setPartial(EMPTY_COMMIT, false);
  expect(await repo.isPartial(EMPTY_COMMIT)).toBe(true);
  await transaction.commit();
  expect(await repo.isPartial(EMPTY_COMMIT)).toBe(false);
});

it("refs of remotes, removal, and names that cannot be beside each other", async () => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode: "archive" });
  const set = async (ref: string, checksum: string | undefined) => {
    await using transaction = await repo.transaction();
    transaction.setRef(ref, checksum);
    await transaction.commit();
  };
  await set("os/stable", EMPTY_COMMIT);
  await set("origin:os/stable", EMPTY_COMMIT);
  await set("os/next", EMPTY_COMMIT);
  expect([...(await repo.refs()).keys()]).toEqual(["origin:os/stable", "os/next", "os/stable"]);
  expect([...(await repo.refs("os")).keys()]).toEqual(["os/next", "os/stable"]);
  expect(await repo.resolve("origin:os/stable")).toBe(EMPTY_COMMIT);
  expect(await repo.resolve("os")).toBeUndefined();
  await expect(set("os", EMPTY_COMMIT)).rejects.toThrow(/part of its name/);
  await expect(set("os/next/x", EMPTY_COMMIT)).rejects.toThrow(/part of its name/);
  await set("os/next", undefined);
  await set("os/never", undefined);
  expect([...(await repo.refs()).keys()]).toEqual(["origin:os/stable", "os/stable"]);
});

it("opens only repositories", async () => {
  await using dir = await tempDir();
  await expect(openRepo(dir.path)).rejects.toThrow(/is not an OSTree repository/);
  const repo = await initRepo(dir.join("r"), { mode: "bare" });
  expect(repo.mode).toBe("bare");
  await expect(initRepo(repo.path, { mode: "archive" })).rejects.toThrow(/of mode bare, not archive/);
  expect((await initRepo(repo.path, { mode: "bare" })).path).toBe(repo.path);
  expect(existsSync(join(repo.path, ".lock"))).toBe(false);
  const meta = encodeDirMeta({ uid: 1, gid: 2, mode: 0o040700, xattrs: [] });
  await expect(repo.readMetadata("dirmeta", sha256(meta))).rejects.toThrow(/no dirmeta object/);
});
