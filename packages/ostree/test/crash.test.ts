// A commit that dies at any moment leaves the old or the new, and a repository that works.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Prng, runProcess, startProcess, tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";
import { commitTree, fsck, initRepo, loadCommit, openRepo, prune } from "../src/index.ts";

const SEED = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
const KILLS = 10;
const CHILD = join(import.meta.dirname, "support/commit-child.ts");

function manyFiles(tree: string): void {
  for (let d = 0; d < 3; d++) {
    mkdirSync(join(tree, `d${d}`), { recursive: true });
    for (let f = 0; f < 7; f++) writeFileSync(join(tree, `d${d}/f${f}`), `file ${d} ${f} `.repeat(200));
  }
}

it.each(["archive", "bare"] as const)(
  "%s: killed at random, the ref is at the last commit told or one later",
  async (mode) => {
    const rng = new Prng(SEED + (mode === "bare" ? 1 : 0));
    await using dir = await tempDir();
    manyFiles(dir.join("t"));
    const path = dir.join("r");
    await initRepo(path, { mode });
    // Commits are numbered through all rounds by their timestamps.
    let number = 0;
    let progress = 0;
    for (let round = 0; round < KILLS; round++) {
      await using child = startProcess(process.execPath, [CHILD, path, dir.join("t"), "main", `${number}`]);
      // Half are killed within their first commit, half later.
      if (round % 2 === 1) await child.waitForLine(/^committed/);
      await delay(rng.below(round % 2 === 1 ? 60 : 400));
      child.kill("SIGKILL");
      await child.waitForExit();
      const told = child.output("stdout").match(/^committed/gm)?.length ?? 0;
      progress += told;
      const repo = await openRepo(path);
      expect(await fsck(repo), `SEED=${SEED}`).toMatchObject({ ok: true, problems: [] });
      // Told means durable: the ref is at the last commit that was told, or at the one after it.
      const tip = await repo.resolve("main");
      const at = tip === undefined ? 0 : (await loadCommit(repo, tip)).timestamp;
      expect([number + told, number + told + 1], `SEED=${SEED}`).toContain(at);
      number = at;
    }
    expect(progress).toBeGreaterThan(0);
    const repo = await openRepo(path);
    await commitTree(repo, dir.join("t"), { ref: "main", timestamp: 1 });
    expect(readdirSync(join(path, "tmp")).filter((name) => name.startsWith("keelson-stage"))).toEqual([]);
    await prune(repo, { depth: 0 });
    expect(await fsck(repo)).toMatchObject({ ok: true, commits: 1 });
  },
);

const STRACE = "/usr/bin/strace";
const noStrace = !existsSync(STRACE);
it.skipIf(noStrace)("everything is synced before a name speaks of it: files, then folders, then the ref", async () => {
  await using dir = await tempDir();
  for (const [label, files] of [
    ["few", 3],
    ["many", 90],
  ] as const) {
    const tree = dir.join(label);
    mkdirSync(tree);
    for (let i = 0; i < files; i++) writeFileSync(join(tree, `f${i}`), `${label} ${i}`);
    const path = dir.join(`r-${label}`);
    await initRepo(path, { mode: "archive" });
    const script = `import { commitTree, openRepo } from ${JSON.stringify(join(import.meta.dirname, "../src/index.ts"))};
      await commitTree(await openRepo(${JSON.stringify(path)}), ${JSON.stringify(tree)}, { ref: "main", timestamp: 1 });`;
    const program = dir.join(`${label}.ts`);
    writeFileSync(program, script);
    const log = dir.join(`${label}.log`);
    const run = await runProcess(STRACE, [
      "-f",
      "-y",
      "-o",
      log,
      "-e",
      "trace=fsync,syncfs,rename",
      process.execPath,
      program,
    ]);
    expect(`${run.code} ${run.stderr}`).toMatch(/^0 /);
    const calls = readFileSync(log, "utf8").split("\n");
    const last = (pattern: RegExp) => calls.findLastIndex((line) => pattern.test(line));
    const first = (pattern: RegExp) => calls.findIndex((line) => pattern.test(line));
    const staged = last(/rename\("[^"]*keelson-stage[^"]*", "[^"]*keelson-stage/);
    const published = first(/rename\("[^"]*keelson-stage[^"]*", "[^"]*objects\//);
    const lastPublished = last(/rename\("[^"]*keelson-stage[^"]*", "[^"]*objects\//);
    const ref = first(/rename\("[^"]*", "[^"]*refs\/heads\/main"\)/);
    const synced = (from: number, to: number, what: RegExp) =>
      calls.slice(from, to).filter((line) => what.test(line)).length;
    expect([staged, published, lastPublished, ref].every((at) => at >= 0)).toBe(true);
    expect([staged < published, lastPublished < ref]).toEqual([true, true]);
    const objects = files === 3 ? 6 : 1;
    expect(synced(staged, published, /(?:fsync|syncfs)\(\d+<[^>]*keelson-stage/)).toBeGreaterThanOrEqual(objects);
    expect(synced(lastPublished, ref, /(?:fsync|syncfs)\(\d+<[^>]*objects/)).toBeGreaterThanOrEqual(1);
    expect(synced(lastPublished, ref, /fsync\(\d+<[^>]*refs\/heads\/\.tmp/)).toBe(1);
    expect(synced(ref, calls.length, /fsync\(\d+<[^>]*refs\/heads>/)).toBe(1);
  }
});
if (noStrace) process.stderr.write("skipped: the order of syncs needs strace\n");
