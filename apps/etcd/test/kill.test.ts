import { EtcdClient, EtcdError } from "@keelson/etcd-client";
import { eventually } from "@keelson/testkit";
import { expect, it } from "vitest";
import { ProcessCluster } from "./support.ts";

const WRITERS = 4;
const SERVICE_BACK_MS = 3_000;

/** Writes one key after another and notes what was acknowledged, and when. */
class Writer {
  readonly acknowledged = new Map<string, string>();
  /** Keys of which nobody can say whether they were written. */
  readonly unknown = new Set<string>();
  lastAckMs = performance.now();
  longestGapMs = 0;
  readonly #client: EtcdClient;
  readonly #name: string;
  #stopped = false;
  readonly done: Promise<void>;

  constructor(endpoints: readonly string[], name: string) {
    this.#client = new EtcdClient({ endpoints: [...endpoints] });
    this.#name = name;
    this.done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.done;
    await this.#client[Symbol.asyncDispose]();
  }

  async #run(): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const key = `${this.#name}/${i}`;
      try {
        await this.#client.put(key, `value ${i}`, { timeoutMs: 2_000 });
        this.acknowledged.set(key, `value ${i}`);
        const now = performance.now();
        this.longestGapMs = Math.max(this.longestGapMs, now - this.lastAckMs);
        this.lastAckMs = now;
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        this.unknown.add(key);
      }
    }
  }
}

it("kill -9 of each member in turn under load loses nothing acknowledged, and service is back in under 3 s", async () => {
  await using cluster = await ProcessCluster.start(3);
  const writers = Array.from({ length: WRITERS }, (_, i) => new Writer(cluster.endpoints, `w${i}`));
  const outages: number[] = [];
  try {
    for (let victim = 0; victim < 3; victim++) {
      const enough = writers.map((w) => w.acknowledged.size + 50);
      await eventually(() => writers.every((w, i) => w.acknowledged.size >= (enough[i] ?? 0)), { timeoutMs: 30_000 });
      const killedMs = performance.now();
      await cluster.kill(victim);
      // Every client must have its next write acknowledged.
      await eventually(() => writers.every((w) => w.lastAckMs > killedMs + 1), { timeoutMs: 15_000, pauseMs: 2 });
      outages.push(Math.max(...writers.map((w) => w.lastAckMs)) - killedMs);
      await cluster.startMember(victim);
    }
  } finally {
    await Promise.all(writers.map((w) => w.stop()));
  }
  const acknowledged = new Map(writers.flatMap((w) => [...w.acknowledged]));
  const unknown = writers.reduce((sum, w) => sum + w.unknown.size, 0);
  process.stderr.write(
    `killed 3 members under ${WRITERS} clients: ${acknowledged.size} writes acknowledged, ${unknown} of unknown outcome, ` +
      `service back after ${outages.map((ms) => Math.round(ms)).join(", ")} ms\n`,
  );
  await using client = new EtcdClient({ endpoints: cluster.endpoints });
  const { kvs } = await client.getAll({ prefix: "w" });
  const stored = new Map(kvs.map((kv) => [kv.keyText, kv.text]));
  const lost = [...acknowledged].filter(([key, value]) => stored.get(key) !== value).map(([key]) => key);
  expect(lost).toEqual([]);
  const fromNowhere = [...stored.keys()].filter((k) => !acknowledged.has(k) && !writers.some((w) => w.unknown.has(k)));
  expect(fromNowhere).toEqual([]);
  for (const ms of outages) expect(ms).toBeLessThan(SERVICE_BACK_MS);
});
