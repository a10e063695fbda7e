// Commit, checkout and fsck of a tree like the image's, beside upstream's ostree in the same run. Prints medians and ratios.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkout, commitTree, fsck, initRepo, openRepo } from "../src/index.ts";

const ROUNDS = Number(process.env["ROUNDS"] ?? 3);
const STOCK = "/usr/bin/ostree";
/** Roughly what an image holds: libraries and modules of the host, and the node binary. */
const SOURCES = ["/usr/lib/python3", "/usr/share/perl", "/usr/lib/git-core", "/usr/share/zoneinfo"];

function makeTree(tree: string): void {
  mkdirSync(join(tree, "usr/bin"), { recursive: true });
  cpSync(process.execPath, join(tree, "usr/bin/node"));
  for (const source of SOURCES.filter((path) => existsSync(path))) {
    spawnSync("cp", ["-a", "--parents", source, tree]);
  }
  // Text that compresses, in files of a few KiB.
  for (let i = 0; i < 4_000; i++) {
    const dir = join(tree, `usr/share/doc/p${i % 200}`);
    mkdirSync(dir, { recursive: true });
    writeFileSync(
      join(dir, `f${i}`),
      Array.from({ length: 60 }, (_, n) => `line ${n} of ${i}: ${(i * n) % 977}\n`).join(""),
    );
  }
  // Sockets and the like cannot be committed.
  spawnSync("find", [tree, "!", "-type", "f", "!", "-type", "d", "!", "-type", "l", "-delete"]);
}

function stock(...args: string[]): void {
  const { status, stderr } = spawnSync(STOCK, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ostree ${args.join(" ")}: ${stderr}`);
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Runs both alternately, so that what else the machine does hits both. */
async function compare(label: string, ours: (round: number) => Promise<unknown>, theirs: (round: number) => void) {
  const times: { ours: number[]; theirs: number[] } = { ours: [], theirs: [] };
  for (let round = 0; round < ROUNDS; round++) {
    spawnSync("sync");
    let start = performance.now();
    await ours(round);
    times.ours.push(performance.now() - start);
    spawnSync("sync");
    start = performance.now();
    theirs(round);
    times.theirs.push(performance.now() - start);
  }
  const [a, b] = [median(times.ours), median(times.theirs)];
  console.log(
    `${label.padEnd(34)} ours ${a.toFixed(0).padStart(6)} ms   ostree ${b.toFixed(0).padStart(6)} ms   ratio ${(a / b).toFixed(2)}`,
  );
}

const work = mkdtempSync(join(process.env["BENCH_DIR"] ?? tmpdir(), "keelson-ostree-bench-"));
try {
  const tree = join(work, "tree");
  makeTree(tree);
  const size = spawnSync("du", ["-sm", tree], { encoding: "utf8" }).stdout.split("\t")[0];
  const count = spawnSync("sh", ["-c", `find ${tree} | wc -l`], { encoding: "utf8" }).stdout.trim();
  console.log(`tree: ${size} MiB, ${count} entries; ${ROUNDS} rounds, medians`);
  const args = ["-b", "main", "--timestamp=@1", "--owner-uid=0", "--owner-gid=0", "--no-xattrs"];
  const options = { ref: "main", timestamp: 1, owner: { uid: 0, gid: 0 } };
  for (const mode of ["archive", "bare"] as const) {
    const [ours, theirs] = [join(work, `ours-${mode}`), join(work, `stock-${mode}`)];
    const fresh = async (path: string) => {
      rmSync(path, { recursive: true, force: true });
      return await initRepo(path, { mode });
    };
    const commit = async (path: string) => await commitTree(await fresh(path), tree, options);
    const stockCommit = (path: string) => {
      rmSync(path, { recursive: true, force: true });
      stock("init", `--repo=${path}`, `--mode=${mode}`);
      stock("commit", `--repo=${path}`, ...args, tree);
    };
    await compare(
      `commit into ${mode}`,
      () => commit(ours),
      () => stockCommit(theirs),
    );
    await compare(
      `commit again, nothing changed`,
      async () => await commitTree(await openRepo(ours), tree, options),
      () => stock("commit", `--repo=${theirs}`, ...args, tree),
    );
    const repo = await openRepo(ours);
    const head = (await repo.resolve("main")) ?? "";
    const link = mode === "bare";
    await compare(
      `checkout of ${mode}${link ? ", hardlinks" : ""}`,
      async (round) => await checkout(repo, head, join(work, `a${mode}${round}`), { mode: link ? "hardlink" : "copy" }),
      (round) =>
        stock(
          "checkout",
          "--fsync=true",
          ...(link ? ["-H"] : []),
          `--repo=${theirs}`,
          "main",
          join(work, `b${mode}${round}`),
        ),
    );
    await compare(
      `fsck of ${mode}`,
      async () => await fsck(repo),
      () => stock("fsck", "-q", `--repo=${theirs}`),
    );
    for (const name of ["a", "b"]) {
      for (let round = 0; round < ROUNDS; round++)
        rmSync(join(work, name + mode + round), { recursive: true, force: true });
    }
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
