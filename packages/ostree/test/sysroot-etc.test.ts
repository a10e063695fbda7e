import { existsSync, globSync } from "node:fs";
import { chmod, chown, mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runProcess, type TempDir } from "@keelson/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Checksum, commitTree, initRepo, initSysroot, openSysroot, pullLocal, type Repo } from "../src/index.ts";
import { fastDir } from "./support/fast-dir.ts";
import { stock, stockProblem } from "./support/stock.ts";
import { listTree, type TreeSpec, writeTree } from "./support/trees.ts";

// Each case: the defaults of two versions, and what is done to /etc between them, through upstream's `ostree admin deploy` and
// through ours. The two merged /etc must be the same, but for the cases where upstream fails or loses what was changed here.

type Edit = (etc: string) => Promise<void>;

interface Case {
  readonly title: string;
  readonly old: TreeSpec;
  readonly fresh: TreeSpec;
  readonly edit: Edit;
  /** What upstream does instead: its message, or the lines of its tree that differ. */
  readonly stockDiffers?: RegExp | { readonly ours: readonly string[]; readonly theirs: readonly string[] };
}

const nothing: Edit = async () => {};

const CASES: readonly Case[] = [
  { title: "an unchanged file follows its default", old: { a: "1" }, fresh: { a: "2", b: "new" }, edit: nothing },
  {
    title: "a changed file is kept over a changed default",
    old: { a: "1" },
    fresh: { a: "2" },
    edit: async (etc) => await writeFile(join(etc, "a"), "mine"),
  },
  {
    title: "a removed file stays removed though its default changed",
    old: { a: "1", keep: "1" },
    fresh: { a: "2", keep: "1" },
    edit: async (etc) => await rm(join(etc, "a")),
  },
  {
    title: "a changed file is kept though its default went",
    old: { a: "1", keep: "1" },
    fresh: { keep: "1" },
    edit: async (etc) => await writeFile(join(etc, "a"), "mine"),
  },
  { title: "an unchanged file goes with its default", old: { a: "1", keep: "1" }, fresh: { keep: "1" }, edit: nothing },
  {
    title: "added files and directories, with their modes, are kept",
    old: { a: "1" },
    fresh: { a: "1" },
    edit: async (etc) => {
      await mkdir(join(etc, "d/sub"), { recursive: true });
      await chmod(join(etc, "d"), 0o700);
      await writeFile(join(etc, "d/sub/f"), "x", { mode: 0o600 });
      await symlink("/run/x", join(etc, "l"));
    },
  },
  {
    title: "an added file wins over a new default of its name",
    old: { a: "1" },
    fresh: { a: "1", b: "default" },
    edit: async (etc) => await writeFile(join(etc, "b"), "mine"),
  },
  {
    title: "mode and owner of a file are changes",
    old: { a: "1", b: "1" },
    fresh: { a: "2", b: "2" },
    edit: async (etc) => {
      await chmod(join(etc, "a"), 0o600);
      await chown(join(etc, "b"), 12, 34);
    },
  },
  {
    title: "a retargeted symlink is kept, an untouched one follows",
    old: { l: "-> x", m: "-> x" },
    fresh: { l: "-> y", m: "-> y" },
    edit: async (etc) => {
      await rm(join(etc, "l"));
      await symlink("z", join(etc, "l"));
    },
  },
  {
    title: "a file that became a symlink by default",
    old: { a: "1", b: "1" },
    fresh: { a: "-> b", b: "1" },
    edit: nothing,
  },
  {
    title: "a changed file whose default became a symlink",
    old: { a: "1", b: "1" },
    fresh: { a: "-> b", b: "1" },
    edit: async (etc) => await writeFile(join(etc, "a"), "mine"),
  },
  {
    title: "a removed directory stays removed with its new defaults",
    old: { "d/a": "1", keep: "1" },
    fresh: { "d/a": "2", "d/b": "new", keep: "1" },
    edit: async (etc) => await rm(join(etc, "d"), { recursive: true }),
  },
  {
    title: "a local file keeps a directory that the defaults dropped",
    old: { "d/a": "1", keep: "1" },
    fresh: { keep: "1" },
    edit: async (etc) => await writeFile(join(etc, "d/mine"), "x"),
  },
  {
    title: "a file and a directory that swap by default",
    old: { f: "1", "d/a": "1" },
    fresh: { "f/x": "1", d: "1" },
    edit: nothing,
  },
  {
    title: "a file replaced by a directory here",
    old: { a: "1" },
    fresh: { a: "2" },
    edit: async (etc) => {
      await rm(join(etc, "a"));
      await mkdir(join(etc, "a"));
      await writeFile(join(etc, "a/x"), "mine");
    },
  },
  {
    title: "a renamed file is one removed and one added",
    old: { a: "1", keep: "1" },
    fresh: { a: "2", keep: "1" },
    edit: async (etc) => await rename(join(etc, "a"), join(etc, "a.bak")),
  },
  {
    title: "a pipe is not merged",
    old: { a: "1" },
    fresh: { a: "1" },
    edit: async (etc) => {
      await runProcess("/usr/bin/mkfifo", [join(etc, "pipe")]);
    },
  },
  {
    title: "a changed mode of a directory: upstream loses it",
    old: { "d/a": "1" },
    fresh: { "d/a": "2" },
    edit: async (etc) => await chmod(join(etc, "d"), 0o700),
    stockDiffers: { ours: ["/d/ 700 0:0"], theirs: ["/d/ 755 0:0"] },
  },
  {
    title: "a changed file whose default became a directory: upstream refuses the update",
    old: { a: "1" },
    fresh: { "a/x": "1" },
    edit: async (etc) => await writeFile(join(etc, "a"), "mine"),
    stockDiffers: /Modified config file newly defaults to directory/,
  },
  {
    title: "a local file in a directory whose default became a file: upstream refuses the update",
    old: { "d/a": "1" },
    fresh: { d: "1" },
    edit: async (etc) => await writeFile(join(etc, "d/mine"), "x"),
    stockDiffers: /Not a directory/,
  },
];

const BASE: TreeSpec = {
  "usr/lib/modules/6.1/vmlinuz": "kernel",
  "usr/lib/os-release": "ID=test\nPRETTY_NAME=test\n",
  "usr/bin/x": ["#!", 0o755],
  var: "/",
};

const problem = stockProblem();
if (problem !== undefined) process.stderr.write(`skipped: /etc merge beside upstream's: ${problem}\n`);

describe.skipIf(problem !== undefined)("the /etc merge beside upstream's", () => {
  let dir: TempDir;
  let repo: Repo;
  const stockRoots: string[] = [];

  beforeAll(async () => {
    dir = await fastDir("etc-merge");
    repo = await initRepo(dir.join("repo"), { mode: "archive" });
  });
  afterAll(async () => {
    // Upstream makes the roots of its deployments immutable.
    for (const root of stockRoots) {
      await runProcess("/usr/bin/chattr", ["-i", ...globSync(join(root, "ostree/deploy/keelson/deploy/*.0"))]);
    }
    await dir[Symbol.asyncDispose]();
  });

  async function commit(name: string, etc: TreeSpec, timestamp: number): Promise<Checksum> {
    const tree = dir.join(name);
    await writeTree(tree, BASE);
    // Upstream deploys no tree without a name in its os-release.
    await writeTree(join(tree, "usr/etc"), { "os-release": "-> ../usr/lib/os-release", ...etc });
    const { checksum } = await commitTree(repo, tree, {
      subject: name,
      timestamp,
      owner: { uid: 0, gid: 0 },
      bootable: true,
    });
    return checksum;
  }

  async function byStock(root: string, old: Checksum, fresh: Checksum, edit: Edit): Promise<string[]> {
    await mkdir(root);
    stockRoots.push(root);
    await stock(["admin", "init-fs", "--modern", root]);
    const own = `--repo=${root}/ostree/repo`;
    await stock(["config", own, "set", "sysroot.bootloader", "none"]);
    await stock(["admin", "os-init", "keelson", `--sysroot=${root}`]);
    for (const version of [old, fresh]) {
      await stock([own, "pull-local", repo.path, version]);
      await stock([own, "refs", `--create=v-${version}`, version]);
      await stock(["admin", "deploy", `--sysroot=${root}`, "--os=keelson", `v-${version}`]);
      const etc = join(root, "ostree/deploy/keelson/deploy", `${version}.0`, "etc");
      if (version === old) await edit(etc);
      else return await listTree(etc);
    }
    return [];
  }

  async function byOurs(root: string, old: Checksum, fresh: Checksum, edit: Edit): Promise<string[]> {
    await mkdir(root);
    await initSysroot(root);
    await using first = await openSysroot(root);
    await pullLocal(first.repo, repo, { commits: [old, fresh] });
    const before = await first.finalize(await first.stage(old, { origin: { refspec: "test" } }));
    await edit(join(before.path, "etc"));
    await using booted = await openSysroot(root, { cmdline: `quiet ostree=${before.bootPath}` });
    const after = await booted.finalize(await booted.stage(fresh, { origin: { refspec: "test" } }));
    expect(existsSync(join(before.path, "etc"))).toBe(true);
    return await listTree(join(after.path, "etc"));
  }

  /** What only one of the two has; or the message of upstream's failure where one is expected. */
  function difference(ours: string[], theirs: string[] | Error, expected: Case["stockDiffers"]): Case["stockDiffers"] {
    if (theirs instanceof Error) {
      if (expected instanceof RegExp && expected.test(theirs.message)) return expected;
      throw theirs;
    }
    return {
      ours: ours.filter((line) => !theirs.includes(line)),
      theirs: theirs.filter((line) => !ours.includes(line)),
    };
  }

  it.each(CASES.map((one, i) => ({ ...one, i })))("$title", async ({ i, old, fresh, edit, stockDiffers }) => {
    const before = await commit(`old${i}`, old, 1_000 + i);
    const after = await commit(`new${i}`, fresh, 2_000 + i);
    const ours = await byOurs(dir.join(`ours${i}`), before, after, edit);
    const theirs = byStock(dir.join(`stock${i}`), before, after, edit).catch((error: Error) => error);
    expect(difference(ours, await theirs, stockDiffers)).toEqual(stockDiffers ?? { ours: [], theirs: [] });
  });
});
