import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, statfsSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CoreError, formatErrorChain } from "@keelson/types";
import {
  type Checksum,
  fsck,
  initSysroot,
  openSysroot,
  type PullOptions,
  type PullProgress,
  type Sysroot,
} from "../../src/index.ts";

// Run as a program below `unshare --mount`, on a small file system of its own that it fills up.
//   full-disk-child.ts <scenario> <mount point> <url> <v1> <v2>

const [scenario = "", root = "", url = "", v1 = "", v2 = ""] = process.argv.slice(2);
const filler = join(root, "filler");

const free = () => {
  const { bavail, bsize } = statfsSync(root);
  return bavail * bsize;
};

/** Leaves so many bytes free. */
function fillUp(leave: number): void {
  const chunk = Buffer.alloc(256 * 1024, 1);
  while (free() > leave + chunk.length) writeFileSync(filler, chunk, { flag: "a" });
}

/** To the last page. */
function fillAll(): void {
  for (let size = 1024 * 1024; size >= 4096; size /= 2) {
    try {
      while (true) writeFileSync(filler, Buffer.alloc(size), { flag: "a" });
    } catch (error) {
      equal((error as NodeJS.ErrnoException).code, "ENOSPC");
    }
  }
}

function isSpaceError(error: unknown): boolean {
  equal((error as CoreError).code, "ERR_OSTREE_SPACE");
  process.stdout.write(`${formatErrorChain(error)}\n`);
  return true;
}

async function bootedSysroot(): Promise<Sysroot> {
  await initSysroot(root);
  // All of the disk may be used, so that it is the file system that says no.
  const config = join(root, "ostree/repo/config");
  writeFileSync(config, readFileSync(config, "utf8").replace("[core]", "[core]\nmin-free-space-percent=0"));
  const first = await openSysroot(root);
  await first.pull({ url, commit: v1, allowUnsigned: true });
  const { bootPath } = await first.finalize(await first.stage(v1, { origin: {} }));
  return await openSysroot(root, { cmdline: `ostree=${bootPath}` });
}

const options = (commit: Checksum): PullOptions => ({ url, commit, allowUnsigned: true, useDeltas: false });

async function expectUnharmed(sysroot: Sysroot): Promise<void> {
  const booted = sysroot.booted();
  ok(booted !== undefined);
  deepEqual((await sysroot.verify(booted.id)).problems, []);
  equal((await fsck(sysroot.repo)).ok, true);
  deepEqual(
    readdirSync(join(sysroot.repo.path, "tmp")).filter((name) => name.startsWith("keelson-stage")),
    [],
  );
}

const scenarios: Record<string, (sysroot: Sysroot) => Promise<void>> = {
  /** The disk fills up while objects arrive. */
  async pull(sysroot) {
    // Room for what eight connections bring at once, and some more, but not for all.
    fillUp(6 * 1024 * 1024);
    await rejects(sysroot.pull(options(v2)), isSpaceError);
    await expectUnharmed(sysroot);
    ok(await sysroot.repo.isPartial(v2));
    deepEqual(
      sysroot.deployments().map(({ checksum }) => checksum),
      [v1],
    );
    // Twice: nothing piles up.
    const before = free();
    await rejects(sysroot.pull(options(v2)), isSpaceError);
    ok(Math.abs(free() - before) < 2 * 1024 * 1024);
    rmSync(filler);
    const { wasComplete, commit, filesFetched } = await sysroot.pull(options(v2));
    deepEqual({ wasComplete, commit }, { wasComplete: false, commit: v2 });
    process.stdout.write(`after space was back ${filesFetched} of 16 large files were fetched\n`);
    ok(filesFetched < 17, "what arrived before is not fetched again");
    await sysroot.finalize(await sysroot.stage(v2, { origin: {} }));
    await expectUnharmed(sysroot);
  },
  /** Another program takes all there is, right after it was looked at. */
  async sudden(sysroot) {
    let isFull = false;
    const onProgress = ({ objects }: PullProgress) => {
      if (objects < 6 || isFull) return;
      isFull = true;
      fillAll();
    };
    await rejects(sysroot.pull({ ...options(v2), onProgress }), isSpaceError);
    ok(isFull);
    await expectUnharmed(sysroot);
    rmSync(filler);
    equal((await sysroot.pull(options(v2))).commit, v2);
    await expectUnharmed(sysroot);
  },
  /** The commit says what it needs: nothing is downloaded in vain. */
  async sizes(sysroot) {
    fillUp(3 * 1024 * 1024);
    let bytes = 0;
    const pull = sysroot.pull({ ...options(v2), onProgress: (now) => (bytes = now.bytes) });
    await rejects(pull, isSpaceError);
    ok(bytes < 10_000, `${bytes} bytes were fetched`);
    await expectUnharmed(sysroot);
    rmSync(filler);
    await sysroot.pull(options(v2));
  },
  /** Garbage goes before the check: what fits only so is pulled. */
  async garbage(sysroot) {
    await sysroot.pull(options(v2));
    const { id } = await sysroot.stage(v2, { origin: {} });
    await sysroot.undeploy(id);
    // Its objects are still there; a second commit of that size does not fit beside them.
    fillUp(1024 * 1024);
    const other = process.argv[7] ?? "";
    equal((await sysroot.pull({ ...options(other), keep: [] } as PullOptions)).commit, other);
    equal(await sysroot.repo.has("commit", v2), false);
    await expectUnharmed(sysroot);
  },
  /** What must stay free stays free. */
  async reserved(sysroot) {
    const reserve = free() - 2 * 1024 * 1024;
    await rejects(sysroot.pull({ ...options(v2), minFreeSpace: { bytes: reserve } }), isSpaceError);
    // But for directories and names.
    ok(free() >= reserve - 256 * 1024, `${free()} of ${reserve} are free`);
    await rejects(sysroot.pull({ ...options(v2), minFreeSpace: { percent: 99 } }), isSpaceError);
    await rejects(sysroot.ensureSpace(1024 ** 3), isSpaceError);
    equal((await sysroot.space({ bytes: 1000 })).usableBytes, (await sysroot.space()).freeBytes - 1000);
    await expectUnharmed(sysroot);
  },
  /** No room for /etc and the directories of a deployment. */
  async deploy(sysroot) {
    await sysroot.pull(options(v2));
    fillAll();
    await rejects(async () => await sysroot.finalize(await sysroot.stage(v2, { origin: {} })), isSpaceError);
    await expectUnharmed(sysroot);
    equal(free(), 0);
    // Garbage is collected without room: the objects of a commit that is no longer wanted go.
    const other = await openSysroot(root, { cmdline: `ostree=${sysroot.booted()?.bootPath}` });
    const { objectsDeleted, bytesFreed } = await other.cleanup({ keep: [] });
    ok(objectsDeleted > 16 && bytesFreed > 8 * 1024 * 1024);
    await expectUnharmed(sysroot);
    await sysroot.pull(options(v2));
    fillAll();
    await rejects(sysroot.stage(v2, { origin: {} }), isSpaceError);
    truncateSync(filler, 0);
    const { staged } = await sysroot.finalize(await sysroot.stage(v2, { origin: {} }));
    equal(staged, false);
    await expectUnharmed(sysroot);
  },
};

const sysroot = await bootedSysroot();
await scenarios[scenario]?.(sysroot);
process.stdout.write("passed\n");
