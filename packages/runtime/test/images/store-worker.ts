import { openImageStore } from "../../src/image/index.ts";

// A process of its own that uses a store, to be killed or to compete with others.
// store-worker.ts ROOT import LAYOUT [KILL_AT_EVENT] | cycle LAYOUT COUNT | full LAYOUT RESERVE

const [, , root = "", command = "", layout = "", count = "0"] = process.argv;

async function importOnce(): Promise<void> {
  const store = await openImageStore({ root });
  let events = 0;
  const killAt = Number(count);
  await store.importLayout(layout, {
    onProgress() {
      if (++events === killAt) process.kill(process.pid, "SIGKILL");
    },
  });
}

/** Imports and removes; between the two, the image has to be whole, whatever others remove. */
async function cycle(): Promise<void> {
  const store = await openImageStore({ root });
  for (let i = 0; i < Number(count); i++) {
    const [image] = await store.importLayout(layout);
    const found = await store.get(image?.id ?? "");
    const damages = await store.verify({ image: found.id });
    if (damages.length > 0) throw new Error(JSON.stringify(damages));
    await store.remove(found.id);
  }
}

/** Tells how an import ends that has not enough room. */
async function full(): Promise<void> {
  const store = await openImageStore({ root, reserveBytes: Number(count) });
  const error = await store.importLayout(layout).then(
    () => undefined,
    (e: unknown) => e as { code: string },
  );
  process.stdout.write(`${error?.code ?? "imported"}\n`);
}

const commands: Record<string, () => Promise<void>> = { import: importOnce, cycle, full };
await commands[command]?.();
