// Bytes on the wire for a one-line change: two bundles of ours, minified or not, beside the node binary that stays the same.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { commitTree, diffCommits, generateDelta, initRepo } from "../src/index.ts";

const ROOT = join(import.meta.dirname, "../../..");
const APPS = ["fleetd", "etcd"];

async function bundle(outdir: string, minify: boolean): Promise<void> {
  await build({
    entryPoints: Object.fromEntries(APPS.map((app) => [app, join(ROOT, `apps/${app}/src/main.ts`)])),
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["classic-level", "x11"],
    minify,
    outdir,
    outExtension: { ".js": ".mjs" },
    logLevel: "error",
  });
}

/** What an edit of one line in the middle of the sources does to a bundle. */
function editOneLine(path: string): void {
  const text = readFileSync(path, "utf8");
  const at = text.indexOf("function ", Math.floor(text.length * 0.6));
  writeFileSync(path, `${text.slice(0, at)}globalThis.edited=1234;\n${text.slice(at)}`);
}

for (const minify of [false, true]) {
  const work = mkdtempSync(join(tmpdir(), "keelson-delta-bench-"));
  try {
    const bin = join(work, "tree/usr/lib/keelson");
    mkdirSync(bin, { recursive: true });
    copyFileSync(process.execPath, join(bin, "node"));
    await bundle(bin, minify);
    const repo = await initRepo(join(work, "repo"), { mode: "archive", config: { core: { fsync: "false" } } });
    const commit = async (timestamp: number) =>
      (await commitTree(repo, join(work, "tree"), { ref: "os", timestamp, owner: { uid: 0, gid: 0 } })).checksum;
    const from = await commit(1);
    for (const app of APPS) editOneLine(join(bin, `${app}.mjs`));
    const to = await commit(2);
    let loose = 0;
    for (const { to: file } of await diffCommits(repo, from, to))
      loose += statSync(repo.objectPath("file", file ?? "")).size;
    const start = performance.now();
    const delta = await generateDelta(repo, from, to);
    const ms = performance.now() - start;
    const sizes = APPS.map((app) => `${app} ${statSync(join(bin, `${app}.mjs`)).size}`).join(", ");
    console.log(`one line in each of two ${minify ? "minified " : ""}bundles (${sizes} bytes), node unchanged:`);
    console.log(
      `  delta ${delta.bytes} bytes for ${delta.objects} objects, made in ${ms.toFixed(0)} ms; loose files alone ${loose} bytes`,
    );
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
