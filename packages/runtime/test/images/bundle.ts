import { build } from "esbuild";

/** A program as the image has it: one file, without types to be stripped. It starts in a third of the time. */
export async function bundleProgram(entry: string, outfile: string): Promise<string> {
  await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    platform: "node",
    format: "esm",
    outfile,
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  });
  return outfile;
}
