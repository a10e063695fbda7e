// Repositories, commits and checkouts of ours and of upstream's program, each judged by the other.
import { readFileSync } from "node:fs";
import { chmod, chown, lchown, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tempDir } from "@keelson/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type CommitTreeOptions,
  checkout,
  commitTree,
  decodeMetadata,
  decodeSummary,
  fsck,
  generateKeys,
  initRepo,
  type Metadata,
  openRepo,
  prune,
  pullLocal,
  type Repo,
  readCommitMeta,
  signCommit,
  updateSummary,
  verifyCommit,
} from "../src/index.ts";
import { writeXattrs } from "../src/repo/native.ts";
import { stock, stockProblem } from "./support/stock.ts";
import { listTree, writeTree } from "./support/trees.ts";

const problem = stockProblem();
beforeAll(() => {
  if (problem !== undefined) process.stderr.write(`skipped: ${problem}\n`);
});

const MODES = ["archive", "bare"] as const;

/** A tree with what goes wrong in practice: modes, owners, names, sizes, links. */
async function awkwardTree(path: string): Promise<string> {
  await writeTree(path, {
    "usr/bin/tool": ["#!/bin/sh\necho tool\n", 0o755],
    "usr/bin/suid": ["suid", 0o4711],
    "usr/bin/alias": "-> tool",
    "usr/bin/dangling": "-> ../no/where",
    "usr/lib/modules/6.1.0-k/vmlinuz": "kernel",
    "usr/lib/modules/6.1.0-k/initramfs.img": Buffer.alloc(200_000, "init"),
    "usr/lib/big": Buffer.alloc(2_500_000, "a big file, read in pieces. "),
    "usr/lib/empty": "",
    "usr/etc/shadow": ["root:*", 0o640],
    "usr/share/ünïcode-\u{1f600}": "1",
    "usr/share/\uffee": "2",
    "usr/share/a b\tc": "3",
    tmp: ["/", 0o1777],
    "var/empty": ["/", 0o700],
  });
  await chown(join(path, "usr/etc/shadow"), 0, 42);
  await chown(join(path, "usr/lib/empty"), 7, 8);
  await lchown(join(path, "usr/bin/alias"), 7, 8);
  await chmod(join(path, "usr/bin/suid"), 0o4711);
  return path;
}

const FIXED = { ref: "os/main", subject: "A subject", body: "A body\n", timestamp: 1_700_000_000 } as const;
const FIXED_ARGS = ["-b", FIXED.ref, "-s", FIXED.subject, "-m", FIXED.body, `--timestamp=@${FIXED.timestamp}`];
const strings = (count: number): Metadata =>
  Array.from({ length: count }, (_, i) => [`key${i * 31}.${i}`, { type: "s", value: `value ${i}` }] as const);
const stringArgs = (metadata: Metadata) =>
  metadata.map(([key, { value }]) => `--add-metadata-string=${key}=${value as string}`);

interface CommitCase {
  readonly title: string;
  readonly options: Partial<CommitTreeOptions>;
  readonly args: readonly string[];
  readonly collectionId?: string;
}

const ROOT = { options: { owner: { uid: 0, gid: 0 } }, args: ["--owner-uid=0", "--owner-gid=0", "--no-xattrs"] };
const CASES: readonly CommitCase[] = [
  { title: "owners as root's", ...ROOT },
  { title: "owners as on disk", options: {}, args: ["--no-xattrs"] },
  { title: "bootable", options: { ...ROOT.options, bootable: true }, args: [...ROOT.args, "--bootable"] },
  { title: "without bindings", options: { ...ROOT.options, bindings: false }, args: [...ROOT.args, "--no-bindings"] },
  { title: "in a collection", ...ROOT, collectionId: "org.keelson.Os" },
  { title: "with xattrs", options: { xattrs: "keep" }, args: [] },
  // glib's table grows at the eighth key and again later.
  ...[3, 6, 20].map((count) => ({
    title: `bootable with ${count} strings`,
    options: { ...ROOT.options, bootable: true, metadata: strings(count) },
    args: [...ROOT.args, "--bootable", ...stringArgs(strings(count))],
  })),
  {
    title: "with typed metadata",
    options: {
      ...ROOT.options,
      metadata: [
        ["n", { type: "u", value: 7 }],
        ["l", { type: "as", value: ["x", "y"] }],
      ],
    },
    args: [...ROOT.args, "--add-metadata=n=uint32 7", "--add-metadata=l=['x', 'y']"],
  },
];

/** The commit is the same code in both modes; files are not. */
const BARE_CASES = CASES.filter(({ title }) => /owners|xattrs/.test(title));

async function initStock(path: string, mode: "archive" | "bare", collectionId?: string): Promise<string> {
  await stock([
    "init",
    `--repo=${path}`,
    `--mode=${mode}`,
    ...(collectionId === undefined ? [] : [`--collection-id=${collectionId}`]),
  ]);
  await stock(["config", `--repo=${path}`, "set", "core.fsync", "false"]);
  return path;
}

/** What is tested here is bytes, not durability. */
const FAST = { core: { fsync: "false" } };

async function initOurs(path: string, mode: "archive" | "bare", collectionId?: string): Promise<Repo> {
  return await initRepo(path, { mode, config: FAST, ...(collectionId !== undefined && { collectionId }) });
}

describe.skipIf(problem !== undefined)("beside upstream's ostree", () => {
  it.each(MODES.flatMap((mode) => (mode === "archive" ? CASES : BARE_CASES).map((one) => ({ mode, ...one }))))(
    "$mode: the same commit, $title",
    async ({ mode, options, args, collectionId }) => {
      await using dir = await tempDir();
      const tree = await awkwardTree(dir.join("t"));
      writeXattrs(join(tree, "usr/bin/tool"), [
        { name: "user.z", value: new Uint8Array([0, 1]) },
        { name: "user.a", value: Buffer.from("text") },
      ]);
      writeXattrs(join(tree, "usr/lib"), [{ name: "user.dir", value: new Uint8Array() }]);
      const ours = await initOurs(dir.join("ours"), mode, collectionId);
      const theirs = await initStock(dir.join("theirs"), mode, collectionId);
      // Twice: the second has a parent.
      for (let i = 0; i < 2; i++) {
        const { checksum } = await commitTree(ours, tree, { ...FIXED, ...options });
        expect(checksum).toBe(await stock(["commit", `--repo=${theirs}`, ...FIXED_ARGS, ...args, tree]));
        await writeFile(join(tree, "usr/second"), "second");
      }
      await stock(["fsck", "-q", `--repo=${ours.path}`]);
      expect(await fsck(await openRepo(theirs))).toMatchObject({ ok: true, commits: 2, problems: [] });
      expect(await fsck(ours)).toMatchObject({ ok: true, commits: 2, problems: [] });
      // The same objects, and in a bare repository the same files.
      expect(await objectNames(ours)).toEqual(await objectNames(await openRepo(theirs)));
      // Compressed, they may differ in length.
      const files = async (repo: string) => (mode === "bare" ? await listTree(join(repo, "objects")) : []);
      expect(await files(ours.path)).toEqual(await files(theirs));
    },
  );

  it.each(MODES)("%s: checkouts are equal, each of the other's repository", async (mode) => {
    await using dir = await tempDir();
    const tree = await awkwardTree(dir.join("t"));
    const ours = await initOurs(dir.join("ours"), mode);
    const theirs = await openRepo(await initStock(dir.join("theirs"), mode));
    const { checksum } = await commitTree(ours, tree, FIXED);
    await stock(["commit", `--repo=${theirs.path}`, ...FIXED_ARGS, "--no-xattrs", tree]);
    await stock(["checkout", `--repo=${ours.path}`, "os/main", dir.join("a")]);
    await stock(["checkout", "-C", `--repo=${theirs.path}`, "os/main", dir.join("b")]);
    await checkout(ours, checksum, dir.join("c"), { mode: "copy" });
    await checkout(theirs, checksum, dir.join("d"), { mode: mode === "bare" ? "hardlink" : "copy" });
    const want = await listTree(tree);
    for (const name of ["a", "b", "c", "d"]) expect([name, await listTree(dir.join(name))]).toEqual([name, want]);
    // Without owners, setuid bits go, as with upstream's user mode.
    await checkout(ours, checksum, dir.join("e"), { mode: "copy", owners: false });
    await stock([
      "checkout",
      "-U",
      `--repo=${mode === "archive" ? ours.path : await initArchiveOf(ours, dir.join("x"))}`,
      "os/main",
      dir.join("f"),
    ]);
    expect(await listTree(dir.join("e"))).toEqual(await listTree(dir.join("f")));
    await stock(["checkout", "--subpath=/usr/share", `--repo=${ours.path}`, "os/main", dir.join("g")]);
    await checkout(ours, checksum, dir.join("h"), { mode: "copy", subpath: "/usr/share" });
    expect(await listTree(dir.join("g"))).toEqual(await listTree(dir.join("h")));
  });

  it("upstream shows, lists and logs ours, and sees refs and signatures", async () => {
    await using dir = await tempDir();
    const tree = await awkwardTree(dir.join("t"));
    const repo = await initOurs(dir.join("ours"), "archive");
    const version: Metadata = [["version", { type: "s", value: "41.7" }]];
    const first = await commitTree(repo, tree, { ...FIXED, metadata: version });
    const second = await commitTree(repo, tree, { ...FIXED, subject: "The second" });
    await using transaction = await repo.transaction();
    transaction.setRef("origin:os/main", first.checksum);
    await transaction.commit();
    const ask = (...args: string[]) => stock([...args.slice(0, 1), `--repo=${repo.path}`, ...args.slice(1)]);
    expect((await ask("refs")).split("\n").sort()).toEqual(["origin:os/main", "os/main"]);
    expect(await ask("rev-parse", "os/main^")).toBe(first.checksum);
    expect(await ask("show", "--print-metadata-key=version", first.checksum)).toBe("'41.7'");
    expect(await ask("log", "os/main")).toMatch(/The second[\s\S]*Version: 41\.7[\s\S]*A subject[\s\S]*A body/);
    expect(await ask("ls", "os/main", "/usr/bin/suid")).toMatch(/^-04711 0 0\s+4 \/usr\/bin\/suid$/);
    expect(await ask("ls", "-d", "os/main", "/usr/bin/alias")).toMatch(/^l00777 7 8\s+0 \/usr\/bin\/alias -> tool$/);
    const keys = generateKeys();
    await signCommit(repo, second.checksum, keys.privateKey);
    const shown = await ask("show", "--print-detached-metadata-key=ostree.sign.ed25519", second.checksum);
    const signature = decodeMetadata((await readCommitMeta(repo, second.checksum)) ?? new Uint8Array())[0]?.[1].value;
    const [bytes = new Uint8Array()] = signature as Uint8Array[];
    expect(shown.match(/0x[0-9a-f]{2}/g)?.map(Number)).toEqual([...bytes]);
    expect(await verifyCommit(repo, second.checksum, [keys.publicKey])).toEqual({ ok: true, key: keys.publicKey });
  });

  it.each(MODES)("%s: local pulls go both ways", async (mode) => {
    await using dir = await tempDir();
    const tree = await awkwardTree(dir.join("t"));
    const ours = await initOurs(dir.join("ours"), mode);
    const { checksum } = await commitTree(ours, tree, FIXED);
    for (const into of MODES) {
      const theirs = await initStock(dir.join(`theirs-${into}`), into);
      await stock(["pull-local", `--repo=${theirs}`, ours.path, "os/main"]);
      await stock(["fsck", "-q", `--repo=${theirs}`]);
      const back = await initOurs(dir.join(`back-${into}`), into);
      await pullLocal(back, await openRepo(theirs), { refs: ["os/main"] });
      expect(await back.resolve("os/main")).toBe(checksum);
      await stock(["fsck", "-q", `--repo=${back.path}`]);
      expect(await objectNames(back)).toEqual(await objectNames(ours));
    }
  });

  it.each([undefined, "org.keelson.Os"])(
    "the summary is upstream's to the byte (collection %s)",
    async (collectionId) => {
      await using dir = await tempDir();
      const repo = await initOurs(dir.join("r"), "archive", collectionId);
      await writeTree(dir.join("t"), { a: "b" });
      for (const ref of ["os/main", "os/next", "a"]) {
        const version: Metadata = ref === "a" ? [] : [["version", { type: "s", value: "1" }]];
        await commitTree(repo, dir.join("t"), { ...FIXED, ref, metadata: version });
      }
      await using transaction = await repo.transaction();
      transaction.setRef("origin:x", (await repo.resolve("a")) ?? "");
      await transaction.commit();
      await stock(["summary", "-u", `--repo=${repo.path}`]);
      const theirs = readFileSync(join(repo.path, "summary"));
      await updateSummary(repo, { timestamp: lastModified(theirs) });
      expect(readFileSync(join(repo.path, "summary")).equals(theirs)).toBe(true);
      // In a collection upstream makes a commit ostree-metadata too.
      expect(decodeSummary(theirs).refs.map(({ ref }) => ref)).toEqual(
        expect.arrayContaining(["a", "os/main", "os/next"]),
      );
      expect(await stock(["summary", "-v", `--repo=${repo.path}`])).toContain("os/next");
    },
  );

  it.each([0, 1, -1])("a prune to depth %i leaves what upstream's leaves", async (depth) => {
    await using dir = await tempDir();
    const ours = await initOurs(dir.join("ours"), "archive");
    const theirs = await initStock(dir.join("theirs"), "archive");
    for (let i = 0; i < 4; i++) {
      await writeTree(dir.join("t"), { same: "same", [`only-${i}`]: `${i}` });
      const { checksum } = await commitTree(ours, dir.join("t"), { ...FIXED, owner: { uid: 0, gid: 0 }, timestamp: i });
      await stock(["pull-local", `--repo=${theirs}`, ours.path, "os/main"]);
      if (i === 1) await stock(["refs", `--repo=${theirs}`, "--create=pinned", checksum]);
      if (i === 1) await stock(["refs", `--repo=${ours.path}`, "--create=pinned", checksum]);
      await rm(dir.join(`t/only-${i}`));
    }
    await stock(["prune", `--repo=${theirs}`, "--refs-only", `--depth=${depth}`]);
    await prune(ours, { depth });
    expect(await objectNames(ours)).toEqual(await objectNames(await openRepo(theirs)));
    await stock(["fsck", "-q", `--repo=${ours.path}`]);
  });

  it("waits for upstream's locks and upstream for ours", async () => {
    await using dir = await tempDir();
    const repo = await initOurs(dir.join("r"), "archive");
    await writeFile(
      join(repo.path, "config"),
      `${readFileSync(join(repo.path, "config"), "utf8")}lock-timeout-secs=1\n`,
    );
    await mkdir(dir.join("t"));
    const transaction = await repo.transaction();
    // A commit shares the lock; a prune wants it alone.
    await stock(["commit", `--repo=${repo.path}`, ...FIXED_ARGS, dir.join("t")]);
    await expect(stock(["prune", `--repo=${repo.path}`, "--refs-only"])).rejects.toThrow(/lock/i);
    await transaction.abort();
    await stock(["prune", `--repo=${repo.path}`, "--refs-only"]);
  });
});

async function initArchiveOf(source: Repo, path: string): Promise<string> {
  await initStock(path, "archive");
  await stock(["pull-local", `--repo=${path}`, source.path]);
  return path;
}

async function objectNames(repo: Repo): Promise<string[]> {
  const names = (await Array.fromAsync(repo.objects())).map(({ type, checksum }) => `${checksum}.${type}`);
  return names.sort();
}

function lastModified(summary: Uint8Array): number {
  const found = decodeSummary(summary).metadata.find(([key]) => key === "ostree.summary.last-modified")?.[1].value;
  // Written big-endian into a little-endian integer.
  return Number(BigInt.asUintN(64, swap(found as bigint)));
}

function swap(value: bigint): bigint {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes.readBigUInt64BE();
}
