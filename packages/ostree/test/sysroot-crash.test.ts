import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runProcess, type TempDir, withSeeds } from "@keelson/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Checksum, type Deployment, fsck, initRepo, initSysroot, openSysroot, pullLocal } from "../src/index.ts";
import { bundleProgram } from "./support/bundle.ts";
import { update } from "./support/crash-update.ts";
import { fastDir } from "./support/fast-dir.ts";
import { commitImage } from "./support/images.ts";
import { type StaticServer, serveStatic } from "./support/static-server.ts";
import { listTree } from "./support/trees.ts";

// A program updates a sysroot and is killed with SIGKILL before, or in the middle of, a change of the file system that a seed
// picks. Whatever it was: the sysroot opens, the booted deployment is untouched, what can be booted is whole, and the update
// goes through when it is tried again. (Power cuts are tried on virtual machines.)

const POINTS = 40;
const CHILD = join(dirname(fileURLToPath(import.meta.url)), "support/crash-child.ts");
let program: string;
let server: StaticServer;

let dir: TempDir;
let template: string;
let v1: Checksum;
let v3: Checksum;
let booted: Deployment;
let bootedTree: string[];
let mergedEtc: string[];
let sharedVar: string[];
/** Names of the calls that change the file system, in the order of a whole run. */
let changes: string[];
/** Of them, the numbers of those that make things appear or vanish, counted from 1. */
let turns: number[];

const cmdline = () => `ostree=${booted.bootPath}`;
const deployDir = (root: string) => join(root, "ostree/deploy/keelson/deploy");

/** A machine with v1 booted, an old deployment, local changes to /etc, and v3 to be had in a repository beside. */
beforeAll(async () => {
  dir = await fastDir("sysroot-crash");
  program = await bundleProgram(CHILD, dir.join("crash-child.mjs"));
  template = dir.join("template");
  await mkdir(template);
  const source = await initRepo(dir.join("source"), { mode: "archive" });
  server = await serveStatic(source.path);
  const v0 = await commitImage(source, "v0", { files: { "usr/lib/old": "goes with v0\n" } });
  v1 = await commitImage(source, "v1");
  v3 = await commitImage(source, "v3", { files: { "usr/lib/new": "new\n", "usr/etc/d/new.conf": "new\n" } });
  await initSysroot(template);
  await using sysroot = await openSysroot(template);
  await pullLocal(sysroot.repo, source, { commits: [v0, v1] });
  await sysroot.finalize(await sysroot.stage(v0, { origin: {} }));
  booted = await sysroot.finalize(await sysroot.stage(v1, { origin: {} }));
  await writeFile(join(booted.path, "etc/app.conf"), "mine\n");
  await mkdir(join(booted.path, "etc/local.d"));
  await writeFile(join(booted.path, "etc/local.d/x"), "x\n");
  bootedTree = await listTree(booted.path);
  sharedVar = await listTree(join(template, "ostree/deploy/keelson/var"));
  // Once without a crash: how many points there are, and what comes of it.
  const root = await copyOfTemplate("whole");
  const whole = await child(root, Number.POSITIVE_INFINITY);
  changes = (/changes=(.+)/.exec(whole.stdout)?.[1] ?? "").split(",");
  turns = changes.flatMap((name, i) => (/^(rename|rm|unlink)/.test(name) ? [i + 1] : []));
  expect(whole).toMatchObject({ code: 0, stderr: "" });
  expect(changes.length).toBeGreaterThan(POINTS);
  process.stdout.write(`${changes.length} changes, of which ${turns.length} are turns\n`);
  mergedEtc = await listTree(join(deployDir(root), `${v3}.0`, "etc"));
  await expectDone(root);
}, 120_000);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

/** The points of one 40th, or the nearest one. */
function stretchOf(points: readonly number[], from: number): readonly number[] {
  const first = Math.floor(points.length * from);
  return points.slice(first, Math.max(first + 1, Math.floor(points.length * (from + 2 / POINTS))));
}

async function copyOfTemplate(name: string): Promise<string> {
  const root = dir.join(name);
  await runProcess("cp", ["-a", template, root]);
  return root;
}

async function child(root: string, killAt: number) {
  // The program is the same forty times.
  const env = { ...process.env, NODE_COMPILE_CACHE: dir.join("compile-cache") };
  return await runProcess(process.execPath, [program, root, server.url, v3, cmdline(), String(killAt)], { env });
}

async function expectBootable(root: string): Promise<void> {
  await using sysroot = await openSysroot(root, { cmdline: cmdline() });
  expect(await listTree(join(deployDir(root), booted.id))).toEqual(bootedTree);
  expect(sysroot.booted()?.id).toBe(booted.id);
  expect(await listTree(join(root, "ostree/deploy/keelson/var"))).toEqual(sharedVar);
  const deployments = sysroot.deployments();
  for (const { id } of deployments) expect((await sysroot.verify(id)).problems).toEqual([]);
  for (const { path } of deployments.filter(({ staged, checksum }) => !staged && checksum === v3)) {
    expect(await listTree(join(path, "etc"))).toEqual(mergedEtc);
  }
  const report = await fsck(sysroot.repo);
  expect(report.problems.filter(({ kind }) => kind !== "partial")).toEqual([]);
}

async function expectDone(root: string): Promise<void> {
  await using sysroot = await openSysroot(root, { cmdline: cmdline() });
  expect(sysroot.deployments().map(({ id, staged }) => `${id} ${staged}`)).toEqual([
    `${v3}.0 false`,
    `${booted.id} false`,
  ]);
  const names = [booted.id, `${booted.id}.origin`, `${v3}.0`, `${v3}.0.origin`];
  expect((await readdir(deployDir(root))).toSorted()).toEqual(names.toSorted());
  expect(await readdir(join(root, "ostree/deploy/keelson"))).toEqual(["deploy", "var"]);
  expect((await fsck(sysroot.repo)).problems).toEqual([]);
}

it(`survives SIGKILL at ${POINTS} points of pull, stage, finalize and cleanup`, { timeout: 300_000 }, async () => {
  await withSeeds("sysroot-crash", {
    seeds: POINTS,
    run: async ({ seed, rng, trace }) => {
      // Spread over the whole run, so that no stretch of it is left out: now among the turns, now among all.
      const among = seed % 4 === 0 ? changes.map((_, i) => i + 1) : turns;
      const point = rng.pick(stretchOf(among, ((seed - 1) % POINTS) / POINTS));
      trace.add({ type: "kill", point, before: changes[point - 1] });
      const root = await copyOfTemplate(`seed${seed}`);
      const killed = await child(root, point);
      expect(killed).toMatchObject({ signal: "SIGKILL" });
      await expectBootable(root);
      await using sysroot = await openSysroot(root, { cmdline: cmdline() });
      await update(sysroot, server.url, v3);
      await expectBootable(root);
      await expectDone(root);
      await rm(root, { recursive: true });
    },
  });
});
