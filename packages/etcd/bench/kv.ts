// Puts and reads next to Debian's etcd-server 3.5, in one run, on one machine: node bench/kv.ts [seconds]
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Channel } from "@keelson/grpc";
import { KV } from "@keelson/proto";
import { startUpstreamEtcd, tempDir } from "@keelson/testkit";

const SECONDS = Number(process.argv[2] ?? 5);
const CLIENTS = 8;
const IN_FLIGHT = 16;
const VALUE = new Uint8Array(256).fill(120);

const bytes = (text: string) => new TextEncoder().encode(text);
const target = (url: string) => new URL(url).host;

interface Result {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

async function load(
  endpoint: string,
  parallel: number,
  call: (channel: Channel, i: number) => Promise<unknown>,
): Promise<Result> {
  const channels = Array.from({ length: Math.min(CLIENTS, parallel) }, () => new Channel(endpoint));
  const times: number[] = [];
  const start = performance.now();
  const until = start + SECONDS * 1000;
  let next = 0;
  const worker = async (channel: Channel) => {
    while (performance.now() < until) {
      const before = performance.now();
      await call(channel, next++);
      times.push(performance.now() - before);
    }
  };
  await Promise.all(Array.from({ length: parallel }, (_, i) => worker(channels[i % channels.length] as Channel)));
  const took = performance.now() - start;
  for (const channel of channels) channel[Symbol.dispose]();
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(times.length * share)] ?? 0;
  return { perSecond: (times.length / took) * 1000, p50Ms: at(0.5), p99Ms: at(0.99) };
}

const LOADS: readonly (readonly [string, number, (channel: Channel, i: number) => Promise<unknown>])[] = [
  ["put, one client", 1, (c, i) => c.unary(KV.method.put, { key: bytes(`k${i % 10_000}`), value: VALUE })],
  [
    "put, 128 in flight",
    CLIENTS * IN_FLIGHT,
    (c, i) => c.unary(KV.method.put, { key: bytes(`k${i % 10_000}`), value: VALUE }),
  ],
  ["get linearizable, 128", CLIENTS * IN_FLIGHT, (c, i) => c.unary(KV.method.range, { key: bytes(`k${i % 10_000}`) })],
  [
    "get serializable, 128",
    CLIENTS * IN_FLIGHT,
    (c, i) => c.unary(KV.method.range, { key: bytes(`k${i % 10_000}`), serializable: true }),
  ],
];

async function measure(endpoint: string): Promise<Result[]> {
  const results: Result[] = [];
  for (const [, parallel, call] of LOADS) results.push(await load(endpoint, parallel, call));
  return results;
}

/** Our member in a process of its own, as upstream's is. */
async function ours(): Promise<Result[]> {
  await using dir = await tempDir("bench");
  const child = fork(fileURLToPath(new URL("member.ts", import.meta.url)), [dir.path]);
  try {
    const url = await new Promise<string>((resolve) => child.once("message", (m) => resolve(m as string)));
    return await measure(target(url));
  } finally {
    child.kill();
    await new Promise((resolve) => child.once("exit", resolve));
  }
}

async function theirs(): Promise<Result[]> {
  await using etcd = await startUpstreamEtcd({ version: "3.5", members: 1 });
  return await measure(target(etcd.endpoints[0] as string));
}

const mine = await ours();
const upstream = await theirs();
console.log("load                     ours/s   p50    p99   | etcd 3.5/s   p50    p99   | ratio");
for (const [i, [name]] of LOADS.entries()) {
  const [a, b] = [mine[i] as Result, upstream[i] as Result];
  const show = (r: Result) =>
    `${r.perSecond.toFixed(0).padStart(8)} ${r.p50Ms.toFixed(2).padStart(6)} ${r.p99Ms.toFixed(2).padStart(6)}`;
  console.log(`${name.padEnd(22)} ${show(a)}   |   ${show(b)}   | ${(a.perSecond / b.perSecond).toFixed(2)}`);
}
