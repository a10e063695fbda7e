import { join } from "node:path";
import { CoreError } from "@keelson/types";
import { Prng } from "./prng.ts";
import { Trace } from "./trace.ts";

/** What a run under one seed gets. */
export interface SeedRun {
  readonly seed: number;
  readonly rng: Prng;
  readonly trace: Trace;
}

/** Options of {@link withSeeds}. */
export interface WithSeedsOptions {
  /** How many seeds to run. `SIM_SEEDS=n` overrides it; `SIM_SEEDS=forever` never stops by itself. */
  readonly seeds: number;
  /** The first seed; the others follow by one. `SIM_FIRST_SEED` overrides it. Default 1. */
  readonly firstSeed?: number;
  /** No new seed is begun after this many real milliseconds. Default: no limit. */
  readonly budgetMs?: number;
  /** Where failing traces go, below the working directory. Default `out`. */
  readonly outDir?: string;
  /** One run. It fails by throwing. */
  readonly run: (run: SeedRun) => void | Promise<void>;
}

/** A run under a seed failed. The message says how to repeat it; `cause` is the failure itself. */
export class SeedFailedError extends CoreError<"ERR_SEED_FAILED"> {
  readonly code = "ERR_SEED_FAILED";
}

const TAIL_LINES = 20;

/**
 * Runs a simulation under many seeds, one after another. `SEED=n` in the environment runs that one only. On a failure the
 * line that reproduces it and the end of its trace are printed, and the trace is kept as JSONL.
 */
export async function withSeeds(name: string, options: WithSeedsOptions): Promise<{ readonly seedsRun: number }> {
  const startMs = performance.now();
  const { first, count } = plan(options);
  let seedsRun = 0;
  for (let seed = first; seed < first + count; seed++) {
    if (seedsRun > 0 && performance.now() - startMs > (options.budgetMs ?? Number.POSITIVE_INFINITY)) break;
    const trace = new Trace();
    try {
      await options.run({ seed, rng: new Prng(seed), trace });
    } catch (error) {
      throw failure(name, seed, trace, options.outDir ?? "out", error);
    }
    seedsRun++;
  }
  return { seedsRun };
}

function plan(options: WithSeedsOptions): { first: number; count: number } {
  const { SEED: only, SIM_SEEDS: count, SIM_FIRST_SEED: first } = process.env;
  if (only !== undefined && only !== "") return { first: integer("SEED", only), count: 1 };
  return {
    first: first ? integer("SIM_FIRST_SEED", first) : (options.firstSeed ?? 1),
    count: count === "forever" ? Number.POSITIVE_INFINITY : count ? integer("SIM_SEEDS", count) : options.seeds,
  };
}

function integer(name: string, text: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 0) throw new TypeError(`${name}=${text} is not a whole number`);
  return n;
}

function failure(name: string, seed: number, trace: Trace, outDir: string, cause: unknown): SeedFailedError {
  const path = join(outDir, `${name.replaceAll(/[^\w.-]+/g, "-")}-${seed}.jsonl`);
  trace.save(path);
  const command = `SEED=${seed} pnpm exec vitest run --config ../../vitest.config.ts --root . -t ${JSON.stringify(name)}`;
  const lines = [`reproduce: ${command}`, `trace: ${path}`, ...trace.tail(TAIL_LINES)];
  process.stderr.write(`SEED=${seed} ${name} failed\n${lines.join("\n")}\n`);
  return new SeedFailedError(`SEED=${seed} fails ${name} (trace in ${path})`, { seed, name, path }, { cause });
}
