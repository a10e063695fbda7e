import { randomBytes } from "node:crypto";
import { lstatSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TempDir } from "@keelson/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Checksum,
  checkout,
  commitTree,
  deltaPath,
  fsck,
  generateDelta,
  generateKeys,
  initRepo,
  type PullProgress,
  pull,
  pullLocal,
  type Repo,
  signCommit,
  updateSummary,
} from "../src/index.ts";
import { commitFiles } from "./support/commit-files.ts";
import { fastDir } from "./support/fast-dir.ts";
import { commitImage } from "./support/images.ts";
import { serveStatic } from "./support/static-server.ts";
import { stock, stockProblem } from "./support/stock.ts";
import { listTree, writeTree } from "./support/trees.ts";

const REF = "os/stable";
let dir: TempDir;
let count = 0;

beforeAll(async () => {
  dir = await fastDir("pull");
});
afterAll(async () => await dir[Symbol.asyncDispose]());

async function freshRepo(mode: "bare" | "archive" = "bare"): Promise<Repo> {
  return await initRepo(dir.join(`repo${count++}`), { mode });
}

const problem = stockProblem();
if (problem !== undefined) process.stderr.write(`skipped: pull from and to upstream's ostree: ${problem}\n`);

describe.skipIf(problem !== undefined)("upstream's ostree", () => {
  /** A tree with what there is to get wrong: modes, owners, links, empty things, names beyond ASCII, a large file. */
  async function makeTree(): Promise<string> {
    const tree = dir.join(`tree${count++}`);
    await writeTree(tree, {
      "usr/bin/tool": ["#!/bin/sh\n", 0o755],
      "usr/bin/setuid": ["x", 0o4755],
      "usr/bin/link": "-> tool",
      "usr/lib/dangling": "-> /nowhere/at all",
      "usr/share/ünï ©ode": "names\n",
      "usr/share/empty": "",
      "usr/share/private": ["secret", 0o600],
      "usr/share/same1": "same content",
      "usr/share/same2": "same content",
      "usr/lib/large": randomBytes(3_000_000),
      "usr/lib/zeros": Buffer.alloc(2_000_000),
      "var/tmp": ["/", 0o1777],
      emptydir: ["/", 0o750],
    });
    return tree;
  }

  it("serves what we pull: the same objects and the same tree", async () => {
    const tree = await makeTree();
    const theirs = dir.join(`theirs${count++}`);
    await stock([`--repo=${theirs}`, "init", "--mode=archive"]);
    const commit = await stock([
      `--repo=${theirs}`,
      "commit",
      "-b",
      REF,
      `--tree=dir=${tree}`,
      "--owner-uid=7",
      "--owner-gid=8",
      "--no-xattrs",
      "--timestamp=@1000",
      "-s",
      "v1",
      "--generate-sizes",
    ]); // prettier-ignore
    await stock([`--repo=${theirs}`, "summary", "-u"]);
    await using server = await serveStatic(theirs);
    const ours = await freshRepo();
    const progress: PullProgress[] = [];
    const result = await pull(ours, {
      url: server.url,
      ref: REF,
      remote: "up",
      allowUnsigned: true,
      onProgress: (now) => progress.push(now),
    });
    expect(result).toMatchObject({ commit, ref: `up:${REF}`, wasComplete: false });
    expect((await fsck(ours)).problems).toEqual([]);
    expect(await stock([`--repo=${ours.path}`, "fsck"])).toContain("no errors found");
    // The sizes that the commit tells are what came.
    expect(progress[2]?.bytesTotal).toBeGreaterThan(3_000_000);
    expect(Math.abs((progress.at(-1)?.bytesTotal ?? 0) - result.bytesTransferred)).toBeLessThan(4_000);

    await checkout(ours, commit, dir.join("by-us"), { mode: "hardlink" });
    await stock([`--repo=${ours.path}`, "checkout", "-H", commit, dir.join("by-them")]);
    await stock([`--repo=${theirs}`, "checkout", commit, dir.join("from-theirs")]);
    const want = await listTree(dir.join("from-theirs"));
    expect(await listTree(dir.join("by-us"))).toEqual(want);
    expect(await listTree(dir.join("by-them"))).toEqual(want);
    // Upstream copies empty files, so that the many of them do not reach the file system's limit of links.
    const links = { links: true, skip: ["/usr/share/empty"] };
    expect(await listTree(dir.join("by-us"), links)).toEqual(await listTree(dir.join("by-them"), links));
  });

  it("pulls from what we serve, by ref and by summary, and updates from it", async () => {
    const tree = await makeTree();
    const ours = await freshRepo("archive");
    const keys = generateKeys();
    const first = (
      await commitTree(ours, tree, { ref: REF, subject: "v1", timestamp: 1_000, owner: { uid: 0, gid: 0 } })
    ).checksum;
    await signCommit(ours, first, keys.privateKey);
    await using server = await serveStatic(ours.path);
    for (const withSummary of [false, true]) {
      if (withSummary) await updateSummary(ours, { timestamp: 3_000 });
      const theirs = dir.join(`theirs${count++}`);
      await stock([`--repo=${theirs}`, "init", "--mode=bare"]);
      await stock([`--repo=${theirs}`, "remote", "add", "--no-gpg-verify", "up", server.url]);
      await stock([`--repo=${theirs}`, "pull", "up", REF]);
      expect(await stock([`--repo=${theirs}`, "rev-parse", `up:${REF}`])).toBe(first);
      expect(await stock([`--repo=${theirs}`, "fsck"])).toContain("no errors found");
      await stock([`--repo=${theirs}`, "checkout", "-H", first, dir.join(`they${count}`)]);
      const mine = dir.join(`we${count}`);
      await checkout(ours, first, mine, { mode: "copy" });
      expect(await listTree(dir.join(`they${count}`), { links: false })).toEqual(await listTree(mine));
    }
    await writeFile(join(tree, "usr/bin/tool"), "#!/bin/sh\necho v2\n");
    const second = (
      await commitTree(ours, tree, { ref: REF, subject: "v2", timestamp: 2_000, owner: { uid: 0, gid: 0 } })
    ).checksum;
    await updateSummary(ours, { timestamp: 4_000 });
    const theirs = dir.join(`theirs${count - 1}`);
    await stock([`--repo=${theirs}`, "pull", "up", REF]);
    expect(await stock([`--repo=${theirs}`, "rev-parse", `up:${REF}`])).toBe(second);
    expect(await stock([`--repo=${theirs}`, "fsck"])).toContain("no errors found");
  });

  it("takes over by pull-local from ours, and we from its", async () => {
    const ours = await freshRepo();
    const commit = await commitFiles(ours, { "usr/a": "1", "usr/l": "-> a" }, { ref: REF });
    const theirs = dir.join(`theirs${count++}`);
    await stock([`--repo=${theirs}`, "init", "--mode=bare"]);
    await stock([`--repo=${theirs}`, "pull-local", ours.path, REF]);
    expect(await stock([`--repo=${theirs}`, "rev-parse", REF])).toBe(commit);
    const { openRepo } = await import("../src/index.ts");
    const third = await freshRepo("archive");
    await pullLocal(third, await openRepo(theirs), { refs: [REF], remote: "x" });
    expect(await stock([`--repo=${third.path}`, "rev-parse", `x:${REF}`])).toBe(commit);
    expect(await stock([`--repo=${third.path}`, "fsck"])).toContain("no errors found");
  });

  it("sees a pull of ours that was cut off as partial", async () => {
    const server = await freshRepo("archive");
    const commit = await commitImage(server, "v1", { ref: REF });
    await using http = await serveStatic(server.path, (path, _request, response) => {
      if (!path.endsWith(".filez")) return false;
      response.writeHead(403).end();
      return true;
    });
    const ours = await freshRepo();
    await expect(pull(ours, { url: http.url, ref: REF, allowUnsigned: true })).rejects.toThrow(/403/);
    expect(await readdir(join(ours.path, "state"))).toEqual([`${commit}.commitpartial`]);
    expect(await stock([`--repo=${ours.path}`, "fsck"])).toContain("1 partial commits not verified");
    // It may go on where we were.
    http.fault = undefined;
    await stock([`--repo=${ours.path}`, "remote", "add", "--no-gpg-verify", "up", http.url]);
    await stock([`--repo=${ours.path}`, "pull", "up", REF]);
    expect(await stock([`--repo=${ours.path}`, "fsck"])).not.toContain("partial");
  });
});

describe("pull", () => {
  it("fetches over eight kept connections, and each file once", async () => {
    const server = await freshRepo("archive");
    const files = Object.fromEntries(
      Array.from({ length: 60 }, (_, i) => [`usr/${i % 7}/${i}`, `${i}\n`.repeat(2_000)]),
    );
    await commitFiles(server, files, { ref: REF });
    await using http = await serveStatic(server.path, async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return false;
    });
    await pull(await freshRepo(), { url: http.url, ref: REF, allowUnsigned: true });
    // Eight, and seldom one more for one that the server closed because it was idle.
    expect(http.connections).toBeGreaterThan(4);
    expect(http.connections).toBeLessThanOrEqual(10);
    expect(new Set(http.requests).size).toBe(http.requests.length);
  });

  it("asks for what upstream asks for, in that order", async () => {
    const server = await freshRepo("archive");
    const commit = await commitFiles(server, { a: "1" }, { ref: REF });
    await using http = await serveStatic(server.path);
    const repo = await freshRepo();
    await pull(repo, { url: http.url, ref: REF, allowUnsigned: true, useDeltas: false });
    const kinds = http.requests.map((path) => path.replace(/^objects\/.*\./, ""));
    expect(kinds.slice(0, 5)).toEqual(["config", "summary", `refs/heads/${REF}`, "commit", "commitmeta"]);
    expect(kinds.slice(5).toSorted()).toEqual(["dirmeta", "dirtree", "filez"]);
    http.requests.length = 0;
    await pull(repo, { url: http.url, commit, allowUnsigned: true });
    expect(http.requests.map((path) => path.replace(/^objects\/.*\./, ""))).toEqual(["config", "commitmeta"]);
  });

  it("takes a signature that was added to a commit that is here", async () => {
    const server = await freshRepo("archive");
    const commit = await commitFiles(server, { a: "1" }, { ref: REF });
    const keys = generateKeys();
    await using http = await serveStatic(server.path);
    const repo = await freshRepo();
    await pull(repo, { url: http.url, ref: REF, allowUnsigned: true });
    const options = { url: http.url, ref: REF, publicKeys: [keys.publicKey] };
    await expect(pull(repo, options)).rejects.toThrow(/it is not signed/);
    await signCommit(server, commit, keys.privateKey);
    expect(await pull(repo, options)).toMatchObject({ wasComplete: true, signedBy: keys.publicKey });
    // The server is no longer needed for it.
    http.fault = (path, _request, response) => path.endsWith("commitmeta") && !!response.writeHead(404).end();
    expect((await pull(repo, options)).signedBy).toBe(keys.publicKey);
  });
});

describe("deltas", () => {
  async function twoVersions() {
    const server = await freshRepo("archive");
    const text = Array.from({ length: 40_000 }, (_, i) => `line ${i} ${(i * 7919) % 10_007}\n`);
    const old = await commitFiles(
      server,
      { "usr/app.js": text.join(""), "usr/same": randomBytes(50_000) },
      { ref: REF },
    );
    text[20_000] = "one line was changed\n";
    const fresh = await commitFiles(
      server,
      { "usr/app.js": text.join(""), "usr/same": "gone" },
      { ref: REF, parent: old },
    );
    return { server, old, fresh };
  }

  async function at(server: Repo, commit: Checksum): Promise<Repo> {
    const repo = await freshRepo();
    await pullLocal(repo, server, { commits: [commit] });
    return repo;
  }

  it("are used from a commit that is here: few bytes for a changed line", async () => {
    const { server, old, fresh } = await twoVersions();
    await generateDelta(server, old, fresh);
    await using http = await serveStatic(server.path);
    const repo = await at(server, old);
    const result = await pull(repo, { url: http.url, ref: REF, remote: "up", allowUnsigned: true, deltaFrom: [old] });
    expect(result).toMatchObject({ commit: fresh, deltaFrom: old, filesFetched: 0, metadataFetched: 0 });
    expect(http.requests.filter((path) => /filez|dirtree/.test(path))).toEqual([]);
    expect((await fsck(repo)).problems).toEqual([]);
    const loose = await pull(await at(server, old), { url: http.url, ref: REF, allowUnsigned: true, useDeltas: false });
    process.stdout.write(
      `one changed line of 40,000: ${result.bytesTransferred} bytes by delta, ${loose.bytesTransferred} by loose objects\n`,
    );
    expect(result.bytesTransferred).toBeLessThan(4_000);
  });

  it("from nothing serve a first pull", async () => {
    const { server, fresh } = await twoVersions();
    await generateDelta(server, undefined, fresh);
    await using http = await serveStatic(server.path);
    const result = await pull(await freshRepo(), { url: http.url, ref: REF, allowUnsigned: true });
    expect(result).toMatchObject({ commit: fresh, deltaFrom: null, filesFetched: 0 });
  });

  it.each<[string, (bytes: Buffer) => Buffer]>([
    ["cut short", (bytes) => bytes.subarray(0, bytes.length - 50)],
    ["damaged", (bytes) => Buffer.from(bytes.map((byte, i) => (i === bytes.length - 100 ? byte ^ 1 : byte)))],
    ["garbage", () => Buffer.from("not a delta at all")],
    ["longer than it says", (bytes) => Buffer.concat([bytes, Buffer.from("more")])],
    ["empty", () => Buffer.alloc(0)],
  ])("that are %s are passed over: loose objects do", async (_title, change) => {
    const { server, old, fresh } = await twoVersions();
    const { path } = await generateDelta(server, old, fresh);
    const { readFile } = await import("node:fs/promises");
    await writeFile(path, change(await readFile(path)));
    await using http = await serveStatic(server.path);
    const repo = await at(server, old);
    const result = await pull(repo, { url: http.url, ref: REF, allowUnsigned: true, deltaFrom: [old] });
    expect(result.commit).toBe(fresh);
    expect(http.requests).toContain(deltaPath(old, fresh));
    expect((await fsck(repo)).problems).toEqual([]);
  });
});

describe("pullLocal", () => {
  it("links between bare repositories and converts between the modes", async () => {
    const bare = await freshRepo();
    const commit = await commitImage(bare, "v1", { ref: REF });
    const linked = await freshRepo();
    const byLink = await pullLocal(linked, bare, { refs: [REF] });
    expect(byLink).toMatchObject({ objectsCopied: 0, objectsPresent: 0 });
    for await (const { type, checksum } of linked.objects())
      expect(lstatSync(linked.objectPath(type, checksum)).nlink).toBe(2);
    expect(await pullLocal(linked, bare, { refs: [REF] })).toMatchObject({
      objectsLinked: 0,
      objectsPresent: byLink.objectsLinked,
    });
    const copied = await freshRepo();
    expect(await pullLocal(copied, bare, { refs: [REF], hardlinks: false })).toMatchObject({ objectsLinked: 0 });
    const archive = await freshRepo("archive");
    await pullLocal(archive, bare, { refs: [REF] });
    const back = await freshRepo();
    await pullLocal(back, archive, { refs: [REF], remote: "up" });
    for (const [repo, ref] of [
      [linked, REF],
      [copied, REF],
      [archive, REF],
      [back, `up:${REF}`],
    ] as const) {
      expect(await repo.resolve(ref)).toBe(commit);
      expect((await fsck(repo)).problems).toEqual([]);
    }
  });

  it("takes no part of a commit, and nothing that is not there", async () => {
    const source = await freshRepo();
    const commit = await commitImage(source, "v1", { ref: REF });
    const repo = await freshRepo();
    await expect(pullLocal(repo, source, { refs: ["none"] })).rejects.toThrow(/has no ref or commit none/);
    await using tx = await source.transaction();
    await tx.setPartial(commit, true);
    await expect(pullLocal(repo, source, { refs: [REF] })).rejects.toThrow(
      /has only a part of os\/stable; pull it there first/,
    );
    expect(await repo.refs()).toEqual(new Map());
  });

  it("verifies what it copies", async () => {
    const source = await freshRepo();
    await commitFiles(source, { a: "content" }, { ref: REF });
    for await (const { type, checksum } of source.objects()) {
      if (type === "file") await writeFile(source.objectPath(type, checksum), "changed");
    }
    const archive = await freshRepo("archive");
    await expect(pullLocal(archive, source, { refs: [REF] })).rejects.toMatchObject({ code: "ERR_OSTREE_CORRUPT" });
    expect(await archive.refs()).toEqual(new Map());
  });
});
