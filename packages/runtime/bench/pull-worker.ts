import { openMachineImages } from "../src/image/index.ts";

// One pull as a process of its own, as `rkt fetch` would be: pull-worker.ts ROOT NAME

const [, , root = "", name = ""] = process.argv;
using images = await openMachineImages({ root, credentials: {}, registryDirectories: [] });
const started = performance.now();
const image = await images.store.pull(name);
process.stdout.write(`${JSON.stringify({ ms: performance.now() - started, size: image.size })}\n`);
