import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempDir } from "@keelson/testkit";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { Checksum, ObjectType } from "../core/objects.ts";
import { listDeltas } from "../delta/files.ts";
import { generateDelta } from "../delta/generate.ts";
import { commitTree } from "./commit-tree.ts";
import { fsck } from "./fsck.ts";
import { walkCommit } from "./load.ts";
import { initRepo } from "./open.ts";
import type { Repo } from "./port.ts";
import { prune } from "./prune.ts";
import { mine, writeFiles } from "./testing.ts";

const TREE = { "usr/bin/a": "program a", "usr/bin/b": "-> a", "etc/x": "x=1 and more, so that deflate has something" };

/** A repository with one commit, and the objects of each type by what they are. */
async function sample(path: string, mode: "archive" | "bare") {
  const repo = await initRepo(join(path, "r"), { mode, config: { core: { fsync: "false" } } });
  const { checksum } = await commitTree(repo, writeFiles(join(path, "t"), TREE), mine({ ref: "main" }));
  const objects = await Array.fromAsync(walkCommit(repo, checksum));
  const first = (type: ObjectType) => objects.find((object) => object.type === type)?.checksum ?? "";
  return { repo, checksum, first };
}

const flip = (path: string) => {
  const bytes = readFileSync(path);
  const at = bytes.length - 1 - Math.floor(bytes.length / 4);
  bytes[at] = (bytes[at] ?? 0) ^ 0x40;
  writeFileSync(path, bytes);
};
const BREAKS: readonly [how: string, (path: string) => void, kinds: readonly string[]][] = [
  ["a flipped byte", flip, ["corrupt"]],
  ["cut short", (path) => truncateSync(path, Math.floor(readFileSync(path).length / 2)), ["corrupt", "bad-format"]],
  ["empty", (path) => truncateSync(path, 0), ["corrupt", "bad-format"]],
  ["missing", (path) => rmSync(path), ["missing"]],
];
const TYPES = ["dirtree", "dirmeta", "file"] as const;

it.each(
  (["archive", "bare"] as const).flatMap((mode) =>
    TYPES.flatMap((type) => BREAKS.map(([how, apply, kinds]) => [mode, type, how, apply, kinds] as const)),
  ),
)("%s: names a %s that is %s, and what needs it", async (mode, type, _how, apply, kinds) => {
  await using dir = await tempDir();
  const { repo, first } = await sample(dir.path, mode);
  expect(await fsck(repo)).toMatchObject({ ok: true, commits: 1, objects: 9, problems: [] });
  const checksum = type === "file" ? regularFile(repo, first("file")) : first(type);
  apply(repo.objectPath(type, await checksum));
  const report = await fsck(repo);
  expect(report.ok).toBe(false);
  expect(report.problems).toHaveLength(1);
  expect(report.problems[0]).toMatchObject({ type, checksum: await checksum });
  expect(kinds).toContain(report.problems[0]?.kind);
  expect(report.problems[0]?.message).toContain(await checksum);
  expect(report.problems[0]?.neededBy[0]).toMatch(/^main:\//);
});

/** Of a bare repository, symlinks have no bytes to break. */
async function regularFile(repo: Repo, otherwise: Checksum): Promise<Checksum> {
  for await (const { type, checksum } of repo.objects()) {
    if (type === "file" && (await repo.readFile(checksum)).size > 30) return checksum;
  }
  return otherwise;
}

it("names a broken commit, a ref without commit and broken detached metadata", async () => {
  await using dir = await tempDir();
  const { repo, checksum } = await sample(dir.path, "archive");
  await using transaction = await repo.transaction();
  await transaction.writeMetadata("commitmeta", new Uint8Array(), checksum);
  transaction.setRef("other", "0".repeat(64));
  await transaction.commit();
  flip(repo.objectPath("commit", checksum));
  writeFileSync(repo.objectPath("commitmeta", checksum), "?");
  const { problems } = await fsck(repo);
  expect(problems.map(({ kind, type, neededBy }) => `${kind} ${type} ${neededBy.join()}`).sort()).toEqual([
    "bad-format commitmeta main",
    "bad-ref commit other",
    "corrupt commit main",
  ]);
});

it("a partial commit is told and is no damage", async () => {
  await using dir = await tempDir();
  const { repo, checksum, first } = await sample(dir.path, "archive");
  await using transaction = await repo.transaction();
  await transaction.setPartial(checksum, true);
  await transaction.abort();
  rmSync(repo.objectPath("file", first("file")));
  expect(await fsck(repo)).toMatchObject({ ok: true, commits: 0, partialCommits: 1, problems: [{ kind: "partial" }] });
});

/** Commits v1, v2, … of one ref, each a minute younger. */
async function history(path: string, count: number): Promise<{ repo: Repo; commits: Checksum[] }> {
  const repo = await initRepo(join(path, "r"), { mode: "archive", config: { core: { fsync: "false" } } });
  const commits: Checksum[] = [];
  for (let i = 0; i < count; i++) {
    const tree = writeFiles(join(path, `t${i}`), { same: "same", [`only-${i}`]: `content ${i}` });
    commits.push((await commitTree(repo, tree, mine({ ref: "main", timestamp: 60 * i }))).checksum);
  }
  return { repo, commits };
}

const present = async (repo: Repo, commits: readonly Checksum[]) =>
  (await Promise.all(commits.map((commit) => repo.has("commit", commit)))).map(Number).join("");

it.each([
  ["everything by default", {}, "11111"],
  ["only the tip", { depth: 0 }, "00001"],
  ["two behind it", { depth: 2 }, "00111"],
  ["the younger ones", { keepYounger: 90 }, "00111"],
  ["depth or youth, whichever keeps more", { depth: 3, keepYounger: 180 }, "01111"],
])("keeps %s", async (_title, options, want) => {
  await using dir = await tempDir();
  const { repo, commits } = await history(dir.path, 5);
  const before = (await Array.fromAsync(repo.objects())).length;
  const counted = await prune(repo, { ...options, delete: false });
  expect((await Array.fromAsync(repo.objects())).length).toBe(before);
  const report = await prune(repo, options);
  expect(report).toEqual(counted);
  expect(await present(repo, commits)).toBe(want);
  expect((await Array.fromAsync(repo.objects())).length).toBe(before - report.objectsDeleted);
  expect((await fsck(repo)).ok).toBe(true);
  expect((await prune(repo, options)).objectsDeleted).toBe(0);
});

it("keeps what it is told to, what a pull has fetched, and deltas to what is kept", async () => {
  await using dir = await tempDir();
  const { repo, commits } = await history(dir.path, 4);
  const [a = "", b = "", c = "", d = ""] = commits;
  await generateDelta(repo, a, b);
  await generateDelta(repo, c, d);
  const unpin = await repo.transaction();
  await unpin.setPartial(b, true);
  await unpin.abort();
  rmSync(repo.objectPath("dirtree", (await Array.fromAsync(walkCommit(repo, b)))[2]?.checksum ?? ""));
  writeFileSync(join(repo.path, "tmp/keelson-delta-killed"), "half");
  await prune(repo, { depth: 0, keep: [a] });
  expect(existsSync(join(repo.path, "tmp/keelson-delta-killed"))).toBe(false);
  expect(await present(repo, commits)).toBe("1101");
  expect((await listDeltas(repo)).map(({ to }) => to).sort()).toEqual([b, d].sort());
  await prune(repo, { depth: 0, keepPartial: false });
  expect(await present(repo, commits)).toBe("0001");
  expect(existsSync(join(repo.path, "state", `${b}.commitpartial`))).toBe(false);
  expect(await listDeltas(repo)).toEqual([{ from: c, to: d }]);
});

it("removes nothing when a commit that is to be kept is damaged", async () => {
  await using dir = await tempDir();
  const { repo, commits } = await history(dir.path, 3);
  rmSync(repo.objectPath("dirtree", (await Array.fromAsync(walkCommit(repo, commits[2] ?? "")))[2]?.checksum ?? ""));
  await expect(prune(repo, { depth: 0 })).rejects.toThrow(/no dirtree object/);
  expect(await present(repo, commits)).toBe("111");
});

it("never removes what a ref, a depth or the caller keeps", async () => {
  await using dir = await tempDir();
  let round = 0;
  const commitsAndRefs = fc.record({
    refs: fc.array(fc.nat({ max: 4 }), { maxLength: 3 }),
    keep: fc.array(fc.nat({ max: 4 }), { maxLength: 2 }),
    depth: fc.integer({ min: -1, max: 4 }),
  });
  await fc.assert(
    fc.asyncProperty(commitsAndRefs, async ({ refs, keep, depth }) => {
      const { repo, commits } = await history(dir.join(`${round++}`), 5);
      await using transaction = await repo.transaction();
      transaction.setRef("main", undefined);
      for (const at of refs) transaction.setRef(`r${at}`, commits[at]);
      await transaction.commit();
      await prune(repo, { depth, keep: keep.map((at) => commits[at] ?? "") });
      const kept = new Set(keep);
      for (const tip of refs) for (let at = tip; at >= 0 && (depth < 0 || tip - at <= depth); at--) kept.add(at);
      expect(await present(repo, commits)).toBe([0, 1, 2, 3, 4].map((at) => (kept.has(at) ? 1 : 0)).join(""));
      expect((await fsck(repo)).ok).toBe(true);
    }),
    { numRuns: 12 },
  );
});
