import { type Clock, formatErrorChain, type Logger } from "@keelson/types";
import { pause } from "../driver.ts";
import type { CheckResult, GateReport, HealthGate } from "../ports.ts";

const AGAIN_MIN_MS = 500;
const AGAIN_MAX_MS = 10_000;
const DETAIL_MAX = 1_000;

/** What one look at something said. */
export interface Verdict {
  readonly outcome: "passed" | "failed" | "skipped";
  readonly detail: string;
}

/** One thing that is looked at. */
export interface Check {
  readonly name: string;
  /** A wanted check may fail: it is asked once and only reported. */
  readonly isRequired: boolean;
  /** Looks once. A rejection counts as failed. */
  look(signal: AbortSignal): Promise<Verdict>;
}

/** Finds the checks of now: directories may have changed since. */
export type CheckSource = () => Promise<readonly Check[]>;

/**
 * All checks at once. A required one is repeated until it passes, since services need time to come up, or until the
 * deadline; then the gate is red. The deadline is kept by this clock, whatever the checks do.
 */
export class LocalHealthGate implements HealthGate {
  readonly #sources: readonly CheckSource[];
  readonly #clock: Clock;
  readonly #logger: Logger;

  constructor(sources: readonly CheckSource[], clock: Clock, logger: Logger) {
    this.#sources = sources;
    this.#clock = clock;
    this.#logger = logger;
  }

  async run(options: { deadlineMs: number; isTrial: boolean; signal: AbortSignal }): Promise<GateReport> {
    const { deadlineMs, signal } = options;
    const late = new AbortController();
    using _deadline = this.#clock.after(deadlineMs, () => late.abort());
    const until = AbortSignal.any([late.signal, signal]);
    const checks = (await Promise.all(this.#sources.map((source) => source()))).flat();
    const results = await Promise.all(checks.map((check) => this.#run(check, until)));
    signal.throwIfAborted();
    const red = results.filter((r) => r.isRequired && (r.outcome === "failed" || r.outcome === "timed-out"));
    for (const { name, outcome, detail } of results) {
      if (outcome !== "passed" && outcome !== "skipped") this.#logger.warn("health check", { name, outcome, detail });
    }
    return { isGreen: red.length === 0, reason: red.map((r) => `${r.name}: ${r.detail}`).join("; "), results };
  }

  async #run(check: Check, until: AbortSignal): Promise<CheckResult> {
    const startMs = this.#clock.monotonicMs();
    let verdict: Verdict = { outcome: "failed", detail: "it gave no answer" };
    let hasAnswered = false;
    for (let waitMs = AGAIN_MIN_MS; !until.aborted; waitMs = Math.min(2 * waitMs, AGAIN_MAX_MS)) {
      const looked = await this.#look(check, until);
      // A look that the deadline cut off says less than the one before it.
      if (looked !== undefined || !hasAnswered) verdict = looked ?? verdict;
      hasAnswered ||= looked !== undefined;
      if (verdict.outcome !== "failed" || !check.isRequired) break;
      await pause(this.#clock, waitMs, until);
    }
    const isLate = verdict.outcome === "failed" && !hasAnswered;
    return {
      name: check.name,
      isRequired: check.isRequired,
      outcome: isLate ? "timed-out" : verdict.outcome,
      tookMs: Math.round(this.#clock.monotonicMs() - startMs),
      detail: verdict.detail.slice(-DETAIL_MAX),
    };
  }

  /** Undefined when the deadline came first, also of a look that ignores the signal. */
  async #look(check: Check, until: AbortSignal): Promise<Verdict | undefined> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const onLate = () => resolve(undefined);
    until.addEventListener("abort", onLate, { once: true });
    try {
      return await Promise.race([check.look(until), promise]);
    } catch (error) {
      return until.aborted ? undefined : { outcome: "failed", detail: formatErrorChain(error) };
    } finally {
      until.removeEventListener("abort", onLate);
    }
  }
}
