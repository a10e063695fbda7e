import { Etcd } from "@keelson/etcd";
import { Channel } from "@keelson/grpc";
import { startUpstreamEtcd, tempDir, upstreamEtcdServer } from "@keelson/testkit";
import { expect, it } from "vitest";
import { Comparison } from "./compare.ts";
import { Target } from "./target.ts";

// DIFF_STEPS=n: that many steps however long they take. SEED=n: begin with that seed. DIFF_SEEDS=n: so many seeds.
const { DIFF_STEPS, DIFF_SEEDS, SEED } = process.env;
const STEPS = Number(DIFF_STEPS ?? 2_000);
const SEEDS = Number(DIFF_SEEDS ?? 1);
const FIRST_SEED = Number(SEED ?? 1);
/** No new step is begun after this time, unless somebody asked for more of them. */
const BUDGET_MS = DIFF_STEPS === undefined ? 22_000 : Number.POSITIVE_INFINITY;

const upstream = await upstreamEtcdServer("3.5");
if (!upstream.ok) process.stderr.write(`differential tests are skipped: ${upstream.reason}\n`);

it.skipIf(!upstream.ok)(
  "answers random requests as Debian's etcd 3.5",
  async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) await compare(seed);
  },
  Math.max(60_000, STEPS * SEEDS * 50),
);

async function compare(seed: number): Promise<void> {
  await using theirs = await startUpstreamEtcd({ version: "3.5", members: 1, flags: ["--unsafe-no-fsync"] });
  // Every other seed on a disk, since the state is then read back in other ways.
  await using dir = await tempDir("differential");
  await using ours = await Etcd.start(seed % 2 === 0 ? { dataDir: dir.join("ours") } : { inMemory: true });
  using a = await Target.connect(new Channel(new URL(theirs.endpoints[0] as string).host));
  using b = await Target.connect(new Channel(new URL(ours.clientUrls[0] as string).host));
  const comparison = new Comparison(a, b);
  const startMs = performance.now();
  const done = await comparison.run(seed, STEPS, startMs + BUDGET_MS);
  const refusals = [...comparison.refusals.values()].reduce((sum, n) => sum + n, 0);
  const took = Math.round(performance.now() - startMs);
  process.stderr.write(
    `SEED=${seed}: ${done} steps in ${took} ms, ${refusals} refused with ${comparison.refusals.size} texts\n`,
  );
  for (const { at, request, upstream, ours } of comparison.differences) {
    const said = `  upstream: ${JSON.stringify(upstream)}\n  ours:     ${JSON.stringify(ours)}`;
    process.stderr.write(`SEED=${seed} step ${at}: ${request}\n${said}\n`);
  }
  const reproduce = `SEED=${seed} DIFF_STEPS=${STEPS} pnpm test:integration differential`;
  expect(comparison.differences, `reproduce: ${reproduce}`).toEqual([]);
}
