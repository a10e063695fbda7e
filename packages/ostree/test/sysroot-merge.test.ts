import { chmod, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TempDir } from "@keelson/testkit";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type EtcEntry, type EtcManifest, planEtcMerge } from "../src/index.ts";
import { copyTree } from "../src/sysroot/copy-tree.ts";
import { mergeEtc, readManifest } from "../src/sysroot/etc-merge.ts";
import { fastDir } from "./support/fast-dir.ts";

// The plan of a merge is pure and tested beside it; here real directories must become what it says.

let dir: TempDir;
beforeAll(async () => {
  dir = await fastDir("merge");
});
afterAll(async () => await dir[Symbol.asyncDispose]());

type Node = { readonly file: string; readonly mode: number } | { readonly link: string } | Tree;
interface Tree {
  readonly [name: string]: Node;
}

const { tree } = fc.letrec<{ tree: Tree; node: Node }>((tie) => ({
  tree: fc.dictionary(fc.constantFrom("a", "b", "c"), tie("node"), { maxKeys: 3, noNullPrototype: true }),
  node: fc.oneof(
    { maxDepth: 2, withCrossShrink: true },
    fc.record({ file: fc.constantFrom("1", "2"), mode: fc.constantFrom(0o644, 0o600, 0o4755) }),
    fc.record({ link: fc.constantFrom("a", "/x") }),
    tie("tree"),
  ),
}));

async function write(at: string, node: Tree): Promise<void> {
  await mkdir(at);
  for (const [name, child] of Object.entries(node)) {
    const path = join(at, name);
    // Names in a tree are a, b and c, so these keys tell the kinds apart.
    if ("link" in child && typeof child.link === "string") await symlink(child.link, path);
    else if ("file" in child && typeof child.file === "string") {
      await writeFile(path, child.file);
      await chmod(path, child.mode as number);
    } else await write(path, child as Tree);
  }
}

function apply(defaults: EtcManifest, plan: ReturnType<typeof planEtcMerge>): Map<string, EtcEntry> {
  const result = new Map(defaults);
  for (const step of plan.actions) {
    if (step.action !== "remove") result.set(step.path, step.entry);
    else for (const path of result.keys()) if (`${path}/`.startsWith(`${step.path}/`)) result.delete(path);
  }
  return result;
}

it("directories become what the plan says, synced files and all", async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(tree, tree, tree, async (old, fresh, current) => {
      const root = dir.join(`run${run++}`);
      const booted = join(root, "booted");
      const defaults = join(root, "defaults");
      const target = join(root, "target");
      await mkdir(join(booted, "usr"), { recursive: true });
      await write(join(booted, "usr/etc"), old);
      await write(join(booted, "etc"), current);
      await write(defaults, fresh);
      const made = await copyTree(defaults, target);
      const [before, after, here] = [
        await readManifest(join(booted, "usr/etc")),
        await readManifest(defaults),
        await readManifest(join(booted, "etc")),
      ];
      const plan = planEtcMerge(before, after, here);
      const report = await mergeEtc({ from: booted, defaults, target, made });
      expect(await readManifest(target)).toEqual(apply(after, plan));
      expect(report).toEqual({ changes: plan.changes, conflicts: plan.conflicts });
      // What it read is as it was; what it wrote is in the list of what is to be synced.
      expect(await readManifest(join(booted, "etc"))).toEqual(here);
      expect(await readManifest(defaults)).toEqual(after);
      for (const [path, entry] of await readManifest(target)) {
        expect(entry.kind === "symlink" || made.includes(join(target, path))).toBe(true);
      }
      await rm(root, { recursive: true });
    }),
    { numRuns: 60 },
  );
});
