import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { withSeeds } from "./seeds.ts";

const outDir = mkdtempSync(join(tmpdir(), "keelson-seeds-"));
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(outDir, { recursive: true, force: true });
});

it("runs the seeds asked for, each with its own numbers", async () => {
  vi.stubEnv("SEED", "");
  vi.stubEnv("SIM_SEEDS", "");
  const first: number[] = [];
  expect(await withSeeds("count", { seeds: 5, run: ({ rng }) => void first.push(rng.u32()) })).toEqual({ seedsRun: 5 });
  expect(new Set(first).size).toBe(5);
  vi.stubEnv("SIM_SEEDS", "2");
  expect(await withSeeds("count", { seeds: 5, run() {} })).toEqual({ seedsRun: 2 });
  vi.stubEnv("SEED", "77");
  const seeds: number[] = [];
  await withSeeds("one", { seeds: 5, run: ({ seed }) => void seeds.push(seed) });
  expect(seeds).toEqual([77]);
});

it("says how to repeat a failure and keeps its trace", async () => {
  vi.stubEnv("SEED", "");
  vi.stubEnv("SIM_SEEDS", "");
  const stderr = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  const failing = withSeeds("it breaks", {
    seeds: 5,
    outDir,
    run: ({ seed, trace }) => {
      trace.add({ t: 1, type: "step", member: 0xabcn });
      if (seed === 3) throw new Error("boom");
    },
  });
  await expect(failing).rejects.toMatchObject({ code: "ERR_SEED_FAILED", message: expect.stringMatching(/^SEED=3 /) });
  const printed = String(stderr.mock.calls[0]?.[0]);
  expect(printed).toMatch(/^SEED=3 it breaks failed\nreproduce: SEED=3 pnpm .*-t "it breaks"/);
  expect(printed).toContain('{"t":1,"type":"step","member":"abc"}');
  const path = join(outDir, "it-breaks-3.jsonl");
  expect(existsSync(path)).toBe(true);
  expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({ t: 1, type: "step", member: "abc" });
});
