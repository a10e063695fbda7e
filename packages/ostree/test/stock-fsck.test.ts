// Damaged repositories: our verdict is upstream's.
import { chmodSync, cpSync, lstatSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { Prng, runProcess, tempDir } from "@keelson/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { commitTree, fsck, initRepo, openRepo, type Repo } from "../src/index.ts";
import { stockProblem } from "./support/stock.ts";
import { writeTree } from "./support/trees.ts";

const problem = stockProblem();
beforeAll(() => {
  if (problem !== undefined) process.stderr.write(`skipped: ${problem}\n`);
});

const MODES = ["archive", "bare"] as const;
const SEED = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
const ROUNDS = 20;

async function sample(path: string, mode: "archive" | "bare"): Promise<Repo> {
  await writeTree(`${path}/t`, {
    "usr/bin/a": "program a, long enough to be compressed, compressed, compressed",
    "usr/bin/b": "-> a",
    "usr/lib/data": Buffer.alloc(40_000, "data data "),
    "usr/lib/empty": "",
    "etc/x": "x=1",
  });
  const repo = await initRepo(`${path}/r`, { mode, config: { core: { fsync: "false" } } });
  await commitTree(repo, `${path}/t`, { ref: "main", timestamp: 1 });
  await commitTree(repo, `${path}/t`, { ref: "next", timestamp: 2 });
  return repo;
}

/** Breaks one object in one of the ways in which disks and people do. */
function breakOne(path: string, rng: Prng): string {
  const stat = lstatSync(path);
  const ways = stat.isSymbolicLink()
    ? ["remove"]
    : stat.size === 0
      ? ["remove", "grow"]
      : ["flip", "cut", "remove", "grow"];
  let way = ways[rng.below(ways.length)] ?? "remove";
  if (way === "remove") rmSync(path);
  else if (way === "cut") truncateSync(path, rng.below(stat.size));
  else {
    const bytes = way === "grow" ? Buffer.concat([readFileSync(path), Buffer.from([0x55])]) : readFileSync(path);
    if (way === "flip") {
      const at = rng.below(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << rng.below(8));
      if (path.endsWith(".filez") && at >= 4 && at < 8 + bytes.readUInt32BE(0)) way = "flip in header";
    }
    writeFileSync(path, bytes);
    utimesSync(path, 0, 0);
  }
  return way;
}

/** True when upstream finds nothing wrong. */
async function stockSaysOk(repo: string): Promise<boolean> {
  const { code } = await runProcess("/usr/bin/ostree", ["fsck", "-q", `--repo=${repo}`]);
  return code === 0;
}

describe.skipIf(problem !== undefined)("beside upstream's fsck", () => {
  it.each(MODES)("%s: comes to the same verdict on any damage", async (mode) => {
    const rng = new Prng(SEED);
    await using dir = await tempDir();
    const repo = await sample(dir.path, mode);
    const objects = (await Array.fromAsync(repo.objects())).sort((a, b) => (a.checksum < b.checksum ? -1 : 1));
    const verdicts: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const copy = dir.join(`copy-${round}`);
      cpSync(repo.path, copy, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
      const broken = await openRepo(copy);
      const object = objects[rng.below(objects.length)];
      if (object === undefined) throw new Error("no objects");
      const way = breakOne(broken.objectPath(object.type, object.checksum), rng);
      const report = await fsck(broken);
      const what = `${way} ${object.type} ${object.checksum}`;
      verdicts.push(`${what}: ${report.ok}`);
      const theirs = await stockSaysOk(copy);
      // Of an archive's file header, upstream does not look at the size, the padding and whether it is in normal form.
      const stricter = way === "flip in header" && theirs && !report.ok;
      expect(`${what}: ${report.ok || stricter}`, `SEED=${SEED}`).toBe(`${what}: ${theirs}`);
      const named = report.problems.some(
        ({ checksum, message }) => checksum === object.checksum || message.includes(object.checksum),
      );
      expect(named, `${what} is named (SEED=${SEED})`).toBe(!report.ok);
      rmSync(copy, { recursive: true });
    }
    // Nearly every damage is one; else this test would see nothing.
    expect(verdicts.filter((line) => line.endsWith("false")).length).toBeGreaterThan(ROUNDS / 2);
  });

  it("a changed mode or owner in a bare repository is damage", async () => {
    await using dir = await tempDir();
    const repo = await sample(dir.path, "bare");
    for await (const { type, checksum } of repo.objects()) {
      if (type !== "file" || (await repo.readFile(checksum)).size !== 3) continue;
      chmodSync(repo.objectPath(type, checksum), 0o777);
      const { problems } = await fsck(repo);
      expect(problems).toMatchObject([{ kind: "corrupt", checksum, neededBy: ["main:/etc/x", "next:/etc/x"] }]);
    }
    expect(await stockSaysOk(repo.path)).toBe(false);
  });
});
