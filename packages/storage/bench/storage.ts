import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { openLevelStore, type WriteOp } from "@keelson/storage";
import { tempDir } from "@keelson/testkit";

// node packages/storage/bench/storage.ts — 256-byte values; the raw figures are taken in the same run, so ratios can be compared.
const VALUE = new Uint8Array(256).fill(120);
const ROUNDS = 400;

function percentile(sorted: readonly number[], p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? 0;
}

async function times(
  rounds: number,
  fn: (i: number) => unknown,
  between?: () => void,
): Promise<{ p50: number; p99: number }> {
  const ms: number[] = [];
  for (let i = 0; i < rounds; i++) {
    between?.();
    const start = performance.now();
    await fn(i);
    ms.push(performance.now() - start);
  }
  ms.sort((a, b) => a - b);
  return { p50: percentile(ms, 0.5), p99: percentile(ms, 0.99) };
}

function batch(from: number, count: number): WriteOp[] {
  return Array.from({ length: count }, (_, i) => {
    const key = Buffer.alloc(17);
    key.writeUInt32BE(from + i, 4);
    return { type: "put", key, value: VALUE };
  });
}

function show(name: string, t: { p50: number; p99: number }, rawP50?: number): void {
  const ratio = rawP50 === undefined ? "" : `  ${(t.p50 / rawP50).toFixed(2)} x raw`;
  console.log(`${name.padEnd(34)} p50 ${t.p50.toFixed(3)} ms  p99 ${t.p99.toFixed(3)} ms${ratio}`);
}

await using dir = await tempDir("bench");
{
  await using store = await openLevelStore(dir.join("store"));
  const fd = openSync(dir.join("raw"), "w");
  let next = 0;
  const take = (count: number) => {
    next += count;
    return batch(next - count, count);
  };
  for (const count of [1, 100]) {
    const data = new Uint8Array(count * 300).fill(120);
    const rawMs: number[] = [];
    // Taken in turn, so that other load on the machine hits both alike.
    const store1 = await times(
      ROUNDS,
      () => store.write(take(count), { sync: true }),
      () => {
        const start = performance.now();
        writeSync(fd, data);
        fdatasyncSync(fd);
        rawMs.push(performance.now() - start);
      },
    );
    const raw = {
      p50: percentile(
        rawMs.toSorted((a, b) => a - b),
        0.5,
      ),
      p99: percentile(
        rawMs.toSorted((a, b) => a - b),
        0.99,
      ),
    };
    show(`raw write + fdatasync of ${count}`, raw);
    show(`sync batch of ${count}`, store1, raw.p50);
    console.log(`${"".padEnd(34)} ${Math.round((count * 1_000) / store1.p50)} durable puts/s`);
  }
  closeSync(fd);
  show("unsynced batch of 1", await times(ROUNDS, () => store.write(take(1), { sync: false })));
  const group = await times(40, () =>
    Promise.all(Array.from({ length: 64 }, () => store.write(take(1), { sync: true }))),
  );
  show("64 callers, sync batches of 1", group);
  console.log(`${"".padEnd(34)} ${Math.round(64_000 / group.p50)} durable puts/s`);

  const keys = batch(0, next).map((op) => (op.type === "put" ? op.key : new Uint8Array(0)));
  const rounds = 500_000;
  const start = performance.now();
  for (let i = 0; i < rounds; i++) store.get(keys[(i * 7_919) % keys.length] as Uint8Array);
  console.log(`${"get".padEnd(34)} ${Math.round(rounds / (performance.now() - start))} k reads/s`);
  const scanStart = performance.now();
  let count = 0;
  for await (const chunk of store.scan()) count += chunk.length;
  console.log(`${"scan".padEnd(34)} ${Math.round(count / (performance.now() - scanStart))} k entries/s (${count})`);
  for (let i = 0; i < 400; i++) await store.write(take(1_000), { sync: false });
}
for (const verifyTables of [true, false]) {
  const start = performance.now();
  await using _store = await openLevelStore(dir.join("store"), { verifyTables });
  console.log(`open 120 MB, verifyTables ${verifyTables}`.padEnd(34), `${(performance.now() - start).toFixed(0)} ms`);
}
