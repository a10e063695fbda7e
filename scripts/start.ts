// npm start [-- --vm | --container] [--machines N] [--once]: a cluster with a running unit and a live view.
import { run } from "./lib.ts";

const args = process.argv.slice(2);
const node = process.execPath;

/** VMs and containers are made from the image; building it again when nothing has changed takes a second. */
async function buildImage(): Promise<boolean> {
  const bundles = await run(["turbo", "run", "build", "--concurrency=2", "--output-logs=errors-only"]);
  if (bundles.exitCode !== 0) return false;
  return (await run([node, "apps/osctl/src/main.ts", "build"])).exitCode === 0;
}

const needsImage = args.includes("--vm") || args.includes("--container");
if (needsImage && !(await buildImage())) process.exitCode = 1;
else
  process.exitCode = (
    await run([node, "apps/keelson/src/main.ts", "cluster", "up", "--foreground", "--demo", ...args])
  ).exitCode;
