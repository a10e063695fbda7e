import { existsSync, lstatSync, readFileSync, statSync } from "node:fs";
import {
  appendFile,
  chmod,
  mkdir,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  unlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import type { TempDir } from "@keelson/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type Checksum,
  type Deployment,
  fsck,
  generateDelta,
  initRepo,
  initSysroot,
  loadCommit,
  openSysroot,
  pullLocal,
  type Repo,
  type Sysroot,
} from "../src/index.ts";
import { fastDir } from "./support/fast-dir.ts";
import { commitImage } from "./support/images.ts";
import { serveStatic } from "./support/static-server.ts";
import { listTree } from "./support/trees.ts";

const ORIGIN = { refspec: "up:os/stable", url: "http://updates/" };

let dir: TempDir;
let server: Repo;
let v1: Checksum;
let v2: Checksum;
let v3: Checksum;
let root: string;
let count = 0;

beforeAll(async () => {
  dir = await fastDir("sysroot");
  server = await initRepo(dir.join("server"), { mode: "archive" });
  v1 = await commitImage(server, "v1");
  v2 = await commitImage(server, "v2", { files: { "usr/bin/new": "new in v2\n", "usr/etc/new.conf": "new\n" } });
  v3 = await commitImage(server, "v3");
});
afterAll(async () => await dir[Symbol.asyncDispose]());

beforeEach(async () => {
  root = dir.join(`root${count++}`);
  await mkdir(root);
  await initSysroot(root);
});

async function sysrootWith(commits: readonly Checksum[], booted?: Deployment): Promise<Sysroot> {
  const sysroot = await openSysroot(
    root,
    booted === undefined ? {} : { cmdline: `quiet ostree=${booted.bootPath} rw` },
  );
  await pullLocal(sysroot.repo, server, { commits });
  return sysroot;
}

async function deploy(sysroot: Sysroot, commit: Checksum): Promise<Deployment> {
  return await sysroot.finalize(await sysroot.stage(commit, { origin: ORIGIN }));
}

const ids = (sysroot: Sysroot) => sysroot.deployments().map(({ id }) => id);

describe("a sysroot", () => {
  it("is made once and opened only where there is one", async () => {
    await initSysroot(root);
    await expect(openSysroot(dir.path)).rejects.toThrow(/is no sysroot: it has no .*; make one with initSysroot/);
    await expect(initSysroot(join(root, "none"))).rejects.toThrow(
      /does not exist; make the directory or mount the disk/,
    );
    const sysroot = await openSysroot(root);
    expect(sysroot.deployments()).toEqual([]);
    expect(sysroot.booted()).toBeUndefined();
    expect(sysroot.repo.mode).toBe("bare");
  });

  it("does not take this machine's kernel command line for that of a disk", async () => {
    const sysroot = await openSysroot(root);
    expect(sysroot.booted()).toBeUndefined();
  });
});

describe("stage", () => {
  it("deploys a commit without /etc, with links into the repository", async () => {
    const sysroot = await sysrootWith([v1]);
    const deployment = await sysroot.stage(v1, { origin: ORIGIN, kargs: ["quiet", "x=a b", "root=LABEL=root"] });
    expect(deployment).toEqual({
      id: `${v1}.0`,
      stateroot: "keelson",
      checksum: v1,
      serial: 0,
      sequence: 1,
      version: "v1",
      path: join(root, "ostree/deploy/keelson/deploy", `${v1}.0`),
      bootPath: `/ostree/deploy/keelson/deploy/${v1}.0`,
      origin: ORIGIN,
      kernelArgs: ["quiet", "x=a b", "root=LABEL=root"],
      staged: true,
      pinned: false,
      booted: false,
    });
    expect(existsSync(join(deployment.path, "etc"))).toBe(false);
    expect(statSync(join(deployment.path, "usr/bin/app")).nlink).toBe(2);
    expect(await readdir(join(root, "ostree/deploy/keelson/var"))).toEqual([]);
    expect(readFileSync(`${deployment.path}.origin`, "utf8")).toContain("[origin]\nrefspec=up:os/stable\n");
    expect((await openSysroot(root)).deployments()).toEqual([deployment]);
  });

  it("takes one that is staged already again, and gives further ones a serial of their own", async () => {
    const sysroot = await sysrootWith([v1]);
    const first = await sysroot.stage(v1, { origin: ORIGIN });
    const again = await sysroot.stage(v1, { origin: { refspec: "other" }, kargs: ["a"] });
    expect(again).toEqual({ ...first, origin: { refspec: "other" }, kernelArgs: ["a"] });
    await sysroot.finalize(again);
    expect((await sysroot.stage(v1, { origin: ORIGIN })).id).toBe(`${v1}.1`);
    expect(ids(sysroot)).toEqual([`${v1}.1`, `${v1}.0`]);
  });

  it("replaces a staged one that was damaged meanwhile", async () => {
    const sysroot = await sysrootWith([v1]);
    const first = await sysroot.stage(v1, { origin: ORIGIN });
    await writeFile(join(first.path, "usr/extra"), "");
    const again = await sysroot.stage(v1, { origin: ORIGIN });
    expect(again.id).toBe(first.id);
    expect((await sysroot.verify(again.id)).problems).toEqual([]);
  });

  it("refuses what is not there as a whole, and what is no image", async () => {
    const sysroot = await sysrootWith([v1]);
    await expect(sysroot.stage(v2, { origin: ORIGIN })).rejects.toThrow(/is not in .* as a whole; pull it first/);
    const bad = await commitImage(server, "bad", { files: { "etc/x": "y" } });
    await pullLocal(sysroot.repo, server, { commits: [bad] });
    await expect(sysroot.stage(bad, { origin: ORIGIN })).rejects.toThrow(
      /has \/etc; an image has its defaults in \/usr\/etc/,
    );
    expect(ids(sysroot)).toEqual([]);
  });

  it("verifies what it has written; what the disk damaged is pulled anew", async () => {
    await using http = await serveStatic(server.path);
    const booted = await deploy(await sysrootWith([v2]), v2);
    const sysroot = await sysrootWith([], booted);
    const options = { url: http.url, commit: v1, allowUnsigned: true };
    await sysroot.pull(options);
    // The disk has changed an object without changing its size, and cut a directory short.
    await writeFile(await objectWith(sysroot.repo, "app v1\n"), "app v2\n");
    const deployDir = join(root, "ostree/deploy/keelson/deploy");
    const before = await readdir(deployDir);
    await expect(sysroot.stage(v1, { origin: ORIGIN })).rejects.toMatchObject({
      code: "ERR_OSTREE_VERIFY",
      message: expect.stringContaining("1 damaged objects were removed"),
      cause: { message: expect.stringMatching(/^\/usr\/bin\/app has the checksum/) },
    });
    expect(await readdir(deployDir)).toEqual(before);
    await expect(sysroot.stage(v1, { origin: ORIGIN })).rejects.toThrow(/as a whole; pull it first/);
    expect(await sysroot.pull(options)).toMatchObject({ wasComplete: false, filesFetched: 1 });
    const { rootTree } = await loadCommit(sysroot.repo, v1);
    await truncate(sysroot.repo.objectPath("dirtree", rootTree), 5);
    await expect(sysroot.stage(v1, { origin: ORIGIN })).rejects.toMatchObject({ code: "ERR_OSTREE_VERIFY" });
    await sysroot.pull(options);
    expect((await sysroot.stage(v1, { origin: ORIGIN })).version).toBe("v1");
    expect((await fsck(sysroot.repo)).problems).toEqual([]);
  });

  it("a damaged object of what is kept does not keep an update from coming", async () => {
    await using http = await serveStatic(server.path);
    const booted = await deploy(await sysrootWith([v1]), v1);
    const sysroot = await sysrootWith([], booted);
    const { rootTree } = await loadCommit(sysroot.repo, v1);
    await truncate(sysroot.repo.objectPath("dirtree", rootTree), 5);
    await expect(sysroot.cleanup({ keep: [] })).rejects.toMatchObject({ code: "ERR_OSTREE_CORRUPT" });
    const errors: unknown[] = [];
    const onGarbageError = (error: unknown) => errors.push(error);
    await sysroot.pull({ url: http.url, commit: v2, allowUnsigned: true, onGarbageError });
    expect(errors).toHaveLength(1);
    expect((await deploy(sysroot, v2)).version).toBe("v2");
  });

  it("is done by one at a time", async () => {
    const sysroot = await sysrootWith([v1, v2]);
    const other = await openSysroot(root);
    const both = await Promise.all([
      sysroot.stage(v1, { origin: ORIGIN }),
      other.stage(v1, { origin: ORIGIN }),
      other.stage(v2, { origin: ORIGIN }),
    ]);
    expect(both.map(({ id }) => id)).toEqual([`${v1}.0`, `${v1}.0`, `${v2}.0`]);
  });
});

/** The file of the object with this content. */
async function objectWith(repo: Repo, content: string): Promise<string> {
  for await (const { type, checksum } of repo.objects()) {
    const path = repo.objectPath(type, checksum);
    if (type === "file" && lstatSync(path).isFile() && readFileSync(path, "utf8") === content) return path;
  }
  throw new Error(`no object with ${content}`);
}

describe("finalize", () => {
  it("gives the first deployment the defaults as its /etc, and fills /var once", async () => {
    const sysroot = await sysrootWith([v1, v2]);
    const staged = await sysroot.stage(v1, { origin: ORIGIN });
    const first = await sysroot.finalize(staged.id);
    expect(first).toMatchObject({ id: staged.id, staged: false, report: { etc: undefined, varFilled: true } });
    expect(await listTree(join(first.path, "etc"))).toEqual(await listTree(join(first.path, "usr/etc")));
    const [a, b] = ["etc/app.conf", "usr/etc/app.conf"].map((name) => statSync(join(first.path, name)));
    expect(a?.ino).not.toBe(b?.ino);
    const shared = join(root, "ostree/deploy/keelson/var/lib/seed");
    expect(readFileSync(shared, "utf8")).toBe("seed of v1\n");

    const second = await sysroot.finalize(await sysroot.stage(v2, { origin: ORIGIN }));
    expect(second.report?.varFilled).toBe(false);
    expect(readFileSync(shared, "utf8")).toBe("seed of v1\n");
    expect(await sysroot.finalize(second)).toEqual({ ...second, report: undefined });
  });

  it("carries the local changes over, and names the conflicts", async () => {
    const before = await deploy(await sysrootWith([v1, v2]), v1);
    await writeFile(join(before.path, "etc/app.conf"), "mine\n");
    await writeFile(join(before.path, "etc/hostname"), "node-1\n");
    await rm(join(before.path, "etc/ssh"), { recursive: true });
    const sysroot = await sysrootWith([], before);
    expect(sysroot.booted()?.id).toBe(before.id);
    const after = await sysroot.finalize(await sysroot.stage(v2, { origin: ORIGIN }));
    expect(after.report?.etc).toEqual({
      changes: { modified: 1, removed: 1, added: 1 },
      conflicts: [{ path: "app.conf", reason: "both-changed" }],
    });
    expect(await readdir(join(after.path, "etc"))).toEqual(["app.conf", "hostname", "new.conf"]);
    expect(await readFile(join(after.path, "etc/app.conf"), "utf8")).toBe("mine\n");
    // The defaults and the booted deployment are as they were.
    expect((await sysroot.verify(after.id)).problems).toEqual([]);
    expect((await sysroot.verify(before.id)).problems).toEqual([]);
    expect(await readFile(join(before.path, "etc/app.conf"), "utf8")).toBe("mine\n");
  });

  it("merges from another deployment, or from none, when told so", async () => {
    const sysroot = await sysrootWith([v1, v2]);
    const before = await deploy(sysroot, v1);
    await writeFile(join(before.path, "etc/mine"), "x");
    const staged = await sysroot.stage(v2, { origin: ORIGIN });
    await expect(
      sysroot.finalize(await sysroot.stage(v1, { origin: ORIGIN }), { mergeFrom: staged.id }),
    ).rejects.toThrow(/has no \/etc to merge from: it is only staged/);
    const merged = await sysroot.finalize(staged, { mergeFrom: before.id });
    expect(existsSync(join(merged.path, "etc/mine"))).toBe(true);
    const plain = await sysroot.finalize(await sysroot.stage(v2, { origin: ORIGIN }), { mergeFrom: null });
    expect(existsSync(join(plain.path, "etc/mine"))).toBe(false);
    await expect(sysroot.finalize(`${v3}.0`)).rejects.toThrow(/there is no deployment/);
    // Booted from a deployment that is gone: its changes to /etc would be lost in silence.
    const lost = await openSysroot(root, { cmdline: `ostree=/ostree/deploy/keelson/deploy/${v3}.7` });
    const last = await lost.stage(v1, { origin: ORIGIN });
    await expect(lost.finalize(last)).rejects.toThrow(`there is no deployment ${v3}.7`);
    expect((await lost.finalize(last, { mergeFrom: merged.id })).staged).toBe(false);
  });
});

describe("verify", () => {
  it.each<[string, (path: string) => Promise<void>, RegExp]>([
    ["a missing file", async (path) => await unlink(join(path, "usr/bin/app")), /^\/usr\/bin\/app is missing$/],
    [
      "one too many",
      async (path) => await writeFile(join(path, "usr/bin/x"), ""),
      /^\/usr\/bin\/x is not in the commit$/,
    ],
    ["a directory too many", async (path) => await mkdir(join(path, "usr/x")), /^\/usr\/x is not in the commit$/],
    [
      "a mode of a file",
      async (path) => await chmod(join(path, "usr/bin/app"), 0o755),
      /^\/usr\/bin\/app has the checksum/,
    ],
    [
      "a mode of a directory",
      async (path) => await chmod(join(path, "usr/bin"), 0o700),
      /^\/usr\/bin has mode 040700, not 040755$/,
    ],
    [
      "other content",
      async (path) => await appendFile(join(path, "usr/bin/app"), "!"),
      /^\/usr\/bin\/app has the checksum/,
    ],
    [
      "another target of a symlink",
      async (path) => {
        await unlink(join(path, "usr/bin/link"));
        await symlink("same", join(path, "usr/bin/link"));
      },
      /^\/usr\/bin\/link has the checksum/,
    ],
    [
      "a file where a directory was",
      async (path) => {
        await rm(join(path, "usr/etc/ssh"), { recursive: true });
        await writeFile(join(path, "usr/etc/ssh"), "");
      },
      /^\/usr\/etc\/ssh is no directory$/,
    ],
  ])("sees %s", async (_title, damage, problem) => {
    const sysroot = await sysrootWith([v1]);
    const { id, path } = await deploy(sysroot, v1);
    expect((await sysroot.verify(id)).problems).toEqual([]);
    await damage(path);
    const report = await sysroot.verify(id);
    expect(report.ok).toBe(false);
    expect(report.problems.join("\n")).toMatch(problem);
  });

  it("reads a sample only, or each inode once", async () => {
    const files = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`usr/share/${i}`, `${i % 100}\n`]));
    const many = await commitImage(server, "many", { files });
    const sysroot = await sysrootWith([many]);
    const { id } = await deploy(sysroot, many);
    const full = await sysroot.verify(id);
    expect(full).toMatchObject({ ok: true, files: 208, filesRead: 108 });
    const reads = new Set<number>();
    for (let sampleSeed = 0; sampleSeed < 8; sampleSeed++) {
      const report = await sysroot.verify(id, { mode: "sample", sampleEvery: 8, sampleSeed });
      expect(report).toMatchObject({ ok: true, files: 208 });
      expect(report.filesRead).toBeLessThan(50);
      reads.add(report.filesRead);
    }
    expect(reads.size).toBeGreaterThan(1);
  });
});

describe("what is removed", () => {
  it("is never the booted or a pinned deployment", async () => {
    const before = await deploy(await sysrootWith([v1, v2, v3]), v1);
    const sysroot = await sysrootWith([], before);
    const second = await deploy(sysroot, v2);
    expect((await sysroot.pin(second.id)).pinned).toBe(true);
    await expect(sysroot.undeploy(before.id)).rejects.toThrow(/is booted; boot another one first/);
    await expect(sysroot.undeploy(second.id)).rejects.toThrow(/is pinned; unpin it first/);
    const third = await deploy(sysroot, v3);
    expect((await sysroot.cleanup({ keep: [] })).undeployed).toEqual([third.id]);
    expect(ids(sysroot)).toEqual([second.id, before.id]);
    const reopened = await sysrootWith([], before);
    expect(reopened.deployments()[0]).toMatchObject({ id: second.id, pinned: true, origin: ORIGIN });
    await reopened.unpin(second.id);
    await reopened.undeploy(second.id);
    expect(ids(reopened)).toEqual([before.id]);
  });

  it("is what nothing needs: deployments, objects, refs, leftovers, partial pulls", async () => {
    const sysroot = await sysrootWith([v1, v2, v3]);
    const one = await deploy(sysroot, v1);
    const two = await deploy(sysroot, v2);
    const deployDir = join(root, "ostree/deploy/keelson/deploy");
    await mkdir(join(deployDir, ".stage-x"));
    await mkdir(join(deployDir, `${v3}.4`));
    await writeFile(join(deployDir, `${v3}.5.origin`), "[origin]\n");
    await using tx = await sysroot.repo.transaction();
    tx.setRef("up:os/stable", v3);
    tx.setRef("local", v2);
    await tx.commit();
    const report = await sysroot.cleanup({ keep: [one.id] });
    expect(report.undeployed).toEqual([two.id]);
    expect(report.leftovers.toSorted()).toEqual([".stage-x", `${v3}.4`, `${v3}.5.origin`].toSorted());
    expect(report.objectsDeleted).toBeGreaterThan(0);
    expect([...(await sysroot.repo.refs()).keys()]).toEqual(["local", `ostree/deployment/${one.id}`]);
    expect(await sysroot.repo.has("commit", v3)).toBe(false);
    expect((await fsck(sysroot.repo)).problems).toEqual([]);
    expect((await sysroot.verify(one.id)).problems).toEqual([]);
    expect((await readdir(deployDir)).toSorted()).toEqual([one.id, `${one.id}.origin`]);
  });

  it("leaves the two newest, and one that is staged, when nobody says what is needed", async () => {
    const sysroot = await sysrootWith([v1, v2, v3]);
    for (const commit of [v1, v2, v3]) await deploy(sysroot, commit);
    await sysroot.stage(v1, { origin: ORIGIN });
    await sysroot.cleanup();
    expect(ids(sysroot)).toEqual([`${v1}.1`, `${v3}.0`, `${v2}.0`]);
  });

  it("keeps a commit that is about to be staged", async () => {
    const sysroot = await sysrootWith([v1, v2]);
    await sysroot.cleanup({ keep: [v2] });
    expect(await sysroot.repo.has("commit", v1)).toBe(false);
    expect((await sysroot.stage(v2, { origin: ORIGIN })).version).toBe("v2");
  });

  it("is nothing of a deployment whose origin file cannot be read", async () => {
    const sysroot = await sysrootWith([v1]);
    const { id, path } = await deploy(sysroot, v1);
    await writeFile(`${path}.origin`, "garbage");
    expect(sysroot.deployments()[0]).toMatchObject({ id, pinned: true, origin: {} });
    await sysroot.cleanup({ keep: [] });
    expect(ids(sysroot)).toEqual([id]);
    await sysroot.unpin(id);
    await sysroot.undeploy(id);
    expect(ids(sysroot)).toEqual([]);
  });
});

describe("updates in a row", () => {
  it("leave the disk as full as before", async () => {
    await using http = await serveStatic(server.path);
    let booted = await deploy(await sysrootWith([v1]), v1);
    const sizes: number[] = [];
    let from = v1;
    for (let n = 10; n < 16; n++) {
      const version = await commitImage(server, `v${n}`, { ref: "os/stable" });
      if (n % 2 === 0) await generateDelta(server, from, version);
      const sysroot = await sysrootWith([], booted);
      const result = await sysroot.pull({
        url: http.url,
        ref: "os/stable",
        remote: "up",
        allowUnsigned: true,
        keep: [booted.id],
      });
      expect(result).toMatchObject({ commit: version, version: `v${n}`, ...(n % 2 === 0 && { deltaFrom: from }) });
      booted = await deploy(sysroot, version);
      from = version;
      // Directories of objects stay, 256 at most.
      sizes.push((await listTree(join(root, "ostree"))).filter((line) => !/^[^ ]+\/ /.test(line)).length);
    }
    expect(new Set(sizes.slice(2)).size).toBe(1);
    const sysroot = await sysrootWith([], booted);
    expect(ids(sysroot)).toHaveLength(2);
    expect((await fsck(sysroot.repo)).problems).toEqual([]);
  });
});
