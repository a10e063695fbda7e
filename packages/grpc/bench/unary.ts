// An empty unary handler: requests a second of this server and of grpc-js's server under the same load, in one run.
// The load is grpc-js clients in a child process: `node bench/unary.ts [seconds] [concurrency]`.
import { fork } from "node:child_process";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Server, ServerCredentials } from "@grpc/grpc-js";
import { KV, type PutRequest, PutRequestSchema, PutResponseSchema } from "@keelson/proto";
import { implement, RpcServer } from "../src/index.ts";

const PATH = "/etcdserverpb.KV/Put";
const [seconds = 5, concurrency = 64] = process.argv.slice(2).map(Number);
const target = process.env["BENCH_TARGET"];
const reply = create(PutResponseSchema, { header: { revision: 5n, raftTerm: 2n } });

if (target === undefined) await main();
else await load(target);

async function main(): Promise<void> {
  const ours = new RpcServer({ services: [implement(KV, { put: () => reply })] });
  const { url } = await ours.listen("http://127.0.0.1:0");
  const theirs = new Server();
  const put = {
    path: PATH,
    requestStream: false,
    responseStream: false,
    requestSerialize: (v: PutRequest) => Buffer.from(toBinary(PutRequestSchema, v)),
    requestDeserialize: (b: Buffer) => fromBinary(PutRequestSchema, b),
    responseSerialize: (v: typeof reply) => Buffer.from(toBinary(PutResponseSchema, v)),
    responseDeserialize: (b: Buffer) => fromBinary(PutResponseSchema, b),
  };
  theirs.addService({ put }, { put: (_call: unknown, done: (e: null, r: typeof reply) => void) => done(null, reply) });
  const port = await new Promise<number>((resolve, reject) => {
    const ready = (error: Error | null, bound: number) => (error === null ? resolve(bound) : reject(error));
    theirs.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), ready);
  });
  console.log(`${concurrency} calls at a time over 4 connections, ${seconds} s each, alternating`);
  const targets = { ours: new URL(url).host, "grpc-js": `127.0.0.1:${port}` };
  const results: Record<string, { rate: number; cpuUs: number }[]> = {};
  for (let round = 0; round < 3; round++) {
    for (const [name, address] of Object.entries(targets)) (results[name] ??= []).push(await measure(address));
  }
  // The load costs more than the server and shares its processors, so the server's own CPU time tells more than the rate.
  for (const [name, list] of Object.entries(results)) {
    const median = (of: (r: { rate: number; cpuUs: number }) => number) => list.map(of).toSorted((a, b) => a - b)[1];
    console.log(
      `${name}: median ${median((r) => r.rate)} req/s, ${median((r) => r.cpuUs)?.toFixed(0)} µs of server CPU each`,
    );
  }
  theirs.forceShutdown();
  await ours.close(0);
}

function measure(address: string): Promise<{ rate: number; cpuUs: number }> {
  const child = fork(import.meta.filename, [String(seconds), String(concurrency)], {
    env: { ...process.env, BENCH_TARGET: address },
  });
  let before = process.cpuUsage();
  return new Promise((resolve) => {
    child.on("message", (message) => {
      if (message === "warm") {
        before = process.cpuUsage();
        return;
      }
      const { user, system } = process.cpuUsage(before);
      const done = Number(message);
      resolve({ rate: Math.round(done / seconds), cpuUs: (user + system) / done });
    });
  });
}

async function load(address: string): Promise<void> {
  const request = Buffer.from(
    toBinary(PutRequestSchema, create(PutRequestSchema, { key: new Uint8Array(16), value: new Uint8Array(64) })),
  );
  const same = (b: Buffer) => b;
  const clients = Array.from(
    { length: 4 },
    () => new Client(address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 }),
  );
  const call = (client: Client) =>
    new Promise<void>((resolve, reject) => {
      client.makeUnaryRequest(PATH, same, same, request, (error) => (error === null ? resolve() : reject(error)));
    });
  let done = 0;
  let stop = false;
  const worker = async (i: number) => {
    const client = clients[i % clients.length];
    while (!stop && client !== undefined) {
      await call(client);
      done++;
    }
  };
  const workers = Array.from({ length: concurrency }, (_, i) => worker(i));
  await new Promise((resolve) => setTimeout(resolve, 1_000)); // warm
  done = 0;
  process.send?.("warm");
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  stop = true;
  process.send?.(done);
  await Promise.all(workers);
  process.exit(0);
}
