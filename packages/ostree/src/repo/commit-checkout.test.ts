import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";
import { commitMetadata } from "../core/commit-metadata.ts";
import { lookupMetadata } from "../core/decode.ts";
import { OstreeNotFoundError, OstreeTreeError } from "../core/errors.ts";
import { S_IFDIR, S_IFREG } from "../core/objects.ts";
import { checkout } from "./checkout.ts";
import { commitTree } from "./commit-tree.ts";
import { diffCommits } from "./diff.ts";
import { loadCommit, walkCommit } from "./load.ts";
import { initRepo } from "./open.ts";
import { mine, writeFiles } from "./testing.ts";

const TREE = {
  "usr/bin/a": "program a",
  "usr/bin/b": "-> a",
  "usr/etc/conf.d/x.conf": "x=1",
  "usr/lib/big": Buffer.alloc(1_500_000, "big file "),
  "empty/": "",
};

it("the same tree gives the same commit, in either mode and whatever was there before", async () => {
  await using dir = await tempDir();
  const tree = writeFiles(dir.join("t"), TREE);
  const again = writeFiles(dir.join("t2"), Object.fromEntries(Object.entries(TREE).reverse()));
  const bare = await initRepo(dir.join("bare"), { mode: "bare" });
  const archive = await initRepo(dir.join("archive"), { mode: "archive" });
  await commitTree(archive, writeFiles(dir.join("other"), { x: "y" }), mine({ ref: "other" }));
  const options = mine({ ref: "main", subject: "s", body: "b", parent: null });
  const commits = [
    await commitTree(bare, tree, options),
    await commitTree(archive, again, options),
    await commitTree(archive, tree, options),
  ];
  expect(new Set(commits.map(({ checksum }) => checksum)).size).toBe(1);
  expect(commits.map(({ stats }) => stats.filesWritten)).toEqual([4, 4, 0]);
  expect(await archive.resolve("main")).toBe(commits[0]?.checksum);
  const { metadata } = await loadCommit(bare, commits[0]?.checksum ?? "");
  expect(metadata).toEqual([["ostree.ref-binding", { type: "as", value: ["main"] }]]);
});

it("a commit follows its ref, and a filter changes or leaves out", async () => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode: "archive" });
  const tree = writeFiles(dir.join("t"), TREE);
  const first = await commitTree(repo, tree, mine({ ref: "main" }));
  const second = await commitTree(
    repo,
    tree,
    mine({
      ref: "main",
      filter: ({ path }) => (path === "/usr/lib" ? "skip" : path === "/usr/bin/a" ? { mode: 0o4755, uid: 7 } : {}),
    }),
  );
  expect((await loadCommit(repo, second.checksum)).parent).toBe(first.checksum);
  const differences = await diffCommits(repo, first.checksum, second.checksum);
  expect(differences.map(({ path, kind, change }) => `${change} ${kind} ${path}`)).toEqual([
    "modified file /usr/bin/a",
    "removed dir /usr/lib",
    "removed file /usr/lib/big",
  ]);
  const changed = await repo.readFile(differences[0]?.to ?? "");
  expect(changed.header).toMatchObject({ mode: S_IFREG | 0o4755, uid: 7 });
  expect(await diffCommits(repo, second.checksum, second.checksum)).toEqual([]);
  expect((await diffCommits(repo, undefined, second.checksum)).every(({ change }) => change === "added")).toBe(true);
});

it.each(["bare", "archive"] as const)("%s: a checkout is the tree, with times of zero", async (mode) => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode });
  const tree = writeFiles(dir.join("t"), TREE);
  const { checksum } = await commitTree(
    repo,
    tree,
    mine({ filter: ({ kind }) => ({ mode: kind === "dir" ? 0o750 : 0o640 }) }),
  );
  const target = dir.join("out");
  const result = await checkout(repo, checksum, target, { mode: mode === "bare" ? "hardlink" : "copy" });
  expect(result).toMatchObject({ files: 4, dirs: 7, linked: mode === "bare" ? 4 : 0 });
  expect(readFileSync(join(target, "usr/lib/big")).equals(TREE["usr/lib/big"])).toBe(true);
  expect(readlinkSync(join(target, "usr/bin/b"))).toBe("a");
  const stat = lstatSync(join(target, "usr/bin/a"));
  expect([stat.mode, stat.mtimeMs, stat.nlink]).toEqual([S_IFREG | 0o640, 0, mode === "bare" ? 2 : 1]);
  expect([lstatSync(join(target, "empty")).mode, lstatSync(target).mtimeMs]).toEqual([S_IFDIR | 0o750, 0]);
  expect(readdirSync(dir.path).filter((name) => name.startsWith(".tmp"))).toEqual([]);
});

it("checks out a part, and nothing where something is or an object is missing", async () => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode: "archive" });
  const { checksum } = await commitTree(repo, writeFiles(dir.join("t"), TREE), mine());
  await checkout(repo, checksum, dir.join("etc"), { mode: "copy", subpath: "/usr/etc" });
  expect(readFileSync(dir.join("etc/conf.d/x.conf"), "utf8")).toBe("x=1");
  await expect(checkout(repo, checksum, dir.join("etc"), { mode: "copy" })).rejects.toThrow(/exists already/);
  await expect(checkout(repo, checksum, dir.join("x"), { mode: "copy", subpath: "/usr/x" })).rejects.toThrow(
    OstreeNotFoundError,
  );
  await expect(checkout(repo, checksum, dir.join("x"), { mode: "hardlink" })).rejects.toThrow(OstreeTreeError);
  for await (const { type, checksum: object } of walkCommit(repo, checksum)) {
    if (type === "file") (await import("node:fs")).rmSync(repo.objectPath(type, object));
  }
  await expect(checkout(repo, checksum, dir.join("x"), { mode: "copy" })).rejects.toThrow(/no file object/);
  expect(readdirSync(dir.path).sort()).toEqual(["etc", "r", "t"]);
});

it("refuses what OSTree cannot hold", async () => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode: "archive" });
  await expect(commitTree(repo, dir.join("nowhere"), mine())).rejects.toThrow(/ENOENT/);
  const tree = writeFiles(dir.join("t"), TREE);
  await expect(commitTree(repo, tree, mine({ bootable: true }))).rejects.toThrow(/no kernel/);
  await expect(commitTree(repo, tree, mine({ ref: "../x" }))).rejects.toThrow(/not a ref name/);
  const { server, listening } = await socketAt(join(tree, "socket"));
  await listening;
  await expect(commitTree(repo, tree, mine({ ref: "main" }))).rejects.toThrow(/neither a file nor a symlink/);
  server.close();
  mkdirSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0xfe])]));
  await expect(commitTree(repo, tree, mine({ ref: "main" }))).rejects.toThrow(/not UTF-8/);
  expect(await repo.refs()).toEqual(new Map());
});

async function socketAt(path: string) {
  const { createServer } = await import("node:net");
  const { once } = await import("node:events");
  const server = createServer();
  const listening = once(server, "listening");
  server.listen(path);
  return { server, listening };
}

it("orders metadata as upstream's program does", () => {
  const given = [["version", { type: "s", value: "1" }]] as const;
  const keys = (metadata: ReturnType<typeof commitMetadata>) => metadata.map(([key]) => key);
  expect(keys(commitMetadata(given, {}))).toEqual(["version"]);
  expect(keys(commitMetadata(given, { refs: ["b", "a"], collectionId: "org.x" }))).toEqual([
    "version",
    "ostree.ref-binding",
    "ostree.collection-binding",
  ]);
  const all = commitMetadata(given, { refs: ["b", "a"], kernel: "6.1" });
  expect(keys(all).toSorted()).toEqual(["ostree.bootable", "ostree.linux", "ostree.ref-binding", "version"]);
  expect(lookupMetadata(all, "ostree.ref-binding")?.value).toEqual(["a", "b"]);
});
