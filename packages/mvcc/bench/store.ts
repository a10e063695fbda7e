// Rates (per second of processor time) and memory of the store over backends in memory: `node --expose-gc bench/store.ts [keys]`.
import { MemoryBackend, type MvccBackend, MvccRestore, MvccStore, WatchHub } from "../src/index.ts";
import { KeyIndex } from "../src/key-index.ts";

const KEYS = Number(process.argv[2] ?? 1_000_000);
const encoder = new TextEncoder();
const name = (i: number) => `/registry/pods/namespace-${i % 100}/pod-${String(i).padStart(8, "0")}`;
const key = (i: number) => encoder.encode(name(i));
const value = new Uint8Array(256).fill(7);
const END = new Uint8Array([0]);

function report(what: string, count: number, run: () => void): void {
  // Processor time: the machine that measures may be busy with other things.
  const start = process.cpuUsage();
  run();
  const used = process.cpuUsage(start);
  const ms = (used.user + used.system) / 1000;
  const rate = Math.round((count / ms) * 1000).toLocaleString("en");
  console.log(`${what.padEnd(44)} ${rate.padStart(12)}/s  ${((ms * 1000) / count).toFixed(2).padStart(9)} us each`);
}

/** Keeps nothing of the values: for measuring the store alone. */
class LastBackend implements MvccBackend {
  readonly #map = new Map<number, Uint8Array>();
  readonly #ring: number;

  constructor(ring: number) {
    this.#ring = ring;
  }

  #slot(k: Uint8Array): number {
    if (k.length < 14) return -1;
    return new DataView(k.buffer, k.byteOffset).getUint32(6) % this.#ring;
  }

  get(k: Uint8Array): Uint8Array | undefined {
    return this.#map.get(this.#slot(k));
  }

  put(k: Uint8Array, v: Uint8Array): void {
    this.#map.set(this.#slot(k), v);
  }

  delete(): void {}
}

function heap(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + Math.max(external, arrayBuffers);
}

function indexMemory(order: string, next: (i: number) => number, revisions: number): void {
  const before = heap();
  const index = new KeyIndex();
  let main = 1;
  for (let r = 0; r < revisions; r++)
    for (let i = 0; i < KEYS; i++) {
      const k = String.fromCharCode(...key(next(i)));
      const found = index.seek(k);
      main++;
      index.put(k, found, { main, sub: 0, crc: 1, create: main, version: r + 1, leased: false });
    }
  const bytes = (heap() - before) / KEYS;
  const keyBytes = name(0).length;
  console.log(
    `index, ${order}, ${revisions} revision(s): ${bytes.toFixed(1)} bytes per key, of it ${keyBytes} the key itself`,
  );
  if (index.live !== KEYS) throw new Error("keys are missing");
}

const shuffled = (i: number) => (i * 7_368_787) % KEYS;
console.log(`${KEYS.toLocaleString("en")} keys of ${name(0).length} bytes, values of ${value.length} bytes`);
if (globalThis.gc === undefined) console.log("(run with --expose-gc for memory figures)");
else {
  indexMemory("in random order", shuffled, 1);
  indexMemory("ascending in each of 100 namespaces", (i) => i, 1);
  indexMemory("in random order", shuffled, 2);
}

const store = new MvccStore({ backend: new LastBackend(4096), prefix: 1 });
report("put, new keys in random order", KEYS, () => {
  for (let i = 0; i < KEYS; i++) store.put({ key: key(shuffled(i)), value });
});
report("put, existing keys", 200_000, () => {
  for (let i = 0; i < 200_000; i++) store.put({ key: key(shuffled(i)), value });
});
const one = new MvccStore({ backend: new LastBackend(1 << 20), prefix: 1 });
for (let i = 0; i < 10_000; i++) one.put({ key: key(i), value });
report("range, one key (of 10,000)", 300_000, () => {
  for (let i = 0; i < 300_000; i++) one.range({ key: key(i % 10_000) });
});
report("range, 100 keys (of 10,000)", 5_000, () => {
  for (let i = 0; i < 5_000; i++) one.range({ key: key(i), end: END, limit: 100 });
});
report("txn, compare mod and put", 200_000, () => {
  for (let i = 0; i < 200_000; i++) {
    const k = key(i % 10_000);
    one.txn({
      compare: [{ key: k, target: "mod", result: "greater", operand: 1 }],
      success: [{ type: "put", put: { key: k, value } }],
      failure: [],
    });
  }
});
report(`count of all ${KEYS.toLocaleString("en")} keys`, 100_000, () => {
  for (let i = 0; i < 100_000; i++)
    if (store.range({ key: END, end: END, countOnly: true }).count !== KEYS) throw new Error("wrong count");
});
report("count of a random range", 100_000, () => {
  for (let i = 0; i < 100_000; i++) store.range({ key: key(shuffled(i)), end: key(shuffled(i + 1)), countOnly: true });
});
report("count of all, 100 revisions ago", 10_000, () => {
  for (let i = 0; i < 10_000; i++) store.range({ key: END, end: END, countOnly: true, revision: store.revision - 100 });
});

const kept = new MemoryBackend();
const small = new MvccStore({ backend: kept, prefix: 1 });
for (let i = 0; i < 200_000; i++) small.put({ key: key((i * 7919) % 100_000), value });
const pairs = kept.entries();
report("restore, 200,000 records of 100,000 keys", pairs.length, () => {
  const restore = new MvccRestore({ backend: kept, prefix: 1 });
  for (let i = 0; i < pairs.length; i += 1000) restore.feed(pairs.slice(i, i + 1000));
  restore.finish();
});
small.compact(small.revision);
report("scrub of 200,000 revisions", 200_000, () => {
  while (!small.scrub(1000).done);
});
report("hashKv of 100,000 keys", 100_000, () => {
  small.hashKv();
});

const watched = new MvccStore({ backend: new LastBackend(4096), prefix: 1 });
const hub = new WatchHub({ source: watched });
let delivered = 0;
for (let i = 0; i < 10_000; i++) {
  const created = hub.create({
    id: i,
    key: key(i),
    onReady() {
      if (created.type !== "created") return;
      const pulled = hub.pull(created.watcher, 1 << 20);
      if (pulled.type === "events") delivered += pulled.events.length;
    },
  });
}
report("put with 10,000 watchers, one matches", 200_000, () => {
  for (let i = 0; i < 200_000; i++) {
    const { changes } = watched.put({ key: key(i % 10_000), value });
    if (changes !== undefined) hub.notify(changes);
  }
});
if (delivered !== 200_000) throw new Error(`${delivered} events delivered`);
