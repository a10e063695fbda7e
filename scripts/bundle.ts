import { copyFile, mkdir, readFile, rm, stat } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { dirname, join, resolve } from "node:path";
import { build, type Metafile, type Plugin } from "esbuild";

/**
 * Bundles the programs of one app for the image: `node scripts/bundle.ts apps/etcd` writes `dist/<name>.mjs` (and
 * `.mjs.map`, which is not shipped) for each entry of its package.json's `bin`. Native prebuilds that cannot be
 * bundled are put where their loader looks: `dist/prebuilds/<platform>-<arch>/`. A second argument names
 * another output folder.
 */
const appDir = resolve(process.argv[2] ?? ".");
const { bin } = JSON.parse(await readFile(join(appDir, "package.json"), "utf8")) as { bin?: Record<string, string> };
if (bin === undefined) fail(`${appDir}/package.json has no "bin": name the programs to bundle there`);

// CommonJS inside an ES module: dynamic require() of built-ins, and __dirname for node-gyp-build's search.
const BANNER = [
  'import { createRequire as __createRequire } from "node:module";',
  "const require = __createRequire(import.meta.url);",
  "const __filename = import.meta.filename;",
  "const __dirname = import.meta.dirname;",
].join("\n");

/**
 * Node's own modules by process.getBuiltinModule instead of by import: an import makes an ES module of all that they
 * export, and touching node:http's WebSocket that way loads all of undici: half of a daemon's start.
 */
const builtins: Plugin = {
  name: "builtins",
  setup(bundler) {
    bundler.onResolve({ filter: /^node:|^[a-z0-9_/]+$/ }, ({ path, kind }) =>
      isBuiltin(path) && kind !== "require-call" ? { path, namespace: "builtin" } : undefined,
    );
    bundler.onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

const outdir = resolve(process.argv[3] ?? join(appDir, "dist"));
await rm(outdir, { recursive: true, force: true });
for (const [name, entry] of Object.entries(bin)) {
  const result = await build({
    absWorkingDir: appDir,
    entryPoints: { [name]: entry },
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node26",
    // Class names are part of error output and of protocol descriptors, so identifiers stay.
    minifyWhitespace: true,
    minifySyntax: true,
    sourcemap: "external",
    legalComments: "eof",
    banner: { js: BANNER },
    // dbus-next's optional X11 address lookup.
    external: ["x11"],
    plugins: [builtins],
    metafile: true,
    logLevel: "warning",
  });
  await copyPrebuilds(result.metafile);
  const path = join(outdir, `${name}.mjs`);
  console.log(`${path}: ${Math.round((await stat(path)).size / 1024)} KiB`);
}

/** Copies classic-level's binary for this platform (glibc) when the bundle holds its loader. */
async function copyPrebuilds(metafile: Metafile): Promise<void> {
  const input = Object.keys(metafile.inputs).find((path) => path.includes("/node_modules/classic-level/"));
  if (input === undefined) return;
  const path = resolve(appDir, input);
  const root = path.slice(0, path.lastIndexOf("/node_modules/classic-level/") + "/node_modules/classic-level".length);
  const platform = `${process.platform}-${process.arch}`;
  const source = join(root, "prebuilds", platform, "classic-level.node");
  const target = join(outdir, "prebuilds", platform, "classic-level.node");
  await mkdir(dirname(target), { recursive: true });
  await copyFile(source, target).catch((cause: unknown) => {
    fail(`classic-level has no prebuilt binary for ${platform}: ${source} (${String(cause)})`);
  });
}

function fail(message: string): never {
  console.error(`bundle: ${message}`);
  process.exit(1);
}
