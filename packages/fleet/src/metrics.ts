type Labels = Readonly<Record<string, string>>;

/** A histogram's buckets in seconds: Prometheus' defaults. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Histogram {
  readonly counts: number[];
  sum: number;
  count: number;
}

/** fleet's metrics by the names of its documentation (Documentation/metrics.md), in Prometheus' text form. */
export class Metrics {
  readonly #counters = new Map<string, Map<string, number>>();
  readonly #gauges = new Map<string, () => number>();
  readonly #histograms = new Map<string, Map<string, Histogram>>();
  readonly #help = new Map<string, string>();

  constructor() {
    this.#describe("fleet_engine_task_count_total", "Tasks of the engine.");
    this.#describe("fleet_engine_task_failure_count_total", "Tasks of the engine that failed.");
    this.#describe("fleet_engine_reconcile_count_total", "Rounds of the engine.");
    this.#describe("fleet_engine_reconcile_failure_count_total", "What kept the engine's rounds from being trivial.");
    this.#describe("fleet_engine_reconcile_duration_second", "Time of one round of the engine.");
    this.#describe("fleet_registry_operation_count_total", "Operations on the store.");
    this.#describe("fleet_registry_operation_failed_count_total", "Operations on the store that failed.");
    this.#describe("fleet_registry_operation_duration_second", "Time of one operation on the store.");
  }

  /** Adds to a counter. */
  count(name: string, labels: Labels = {}, by = 1): void {
    const series = this.#counters.getOrInsert(name, new Map());
    const key = formatLabels(labels);
    series.set(key, (series.get(key) ?? 0) + by);
  }

  /** Adds one measurement, in seconds. */
  observe(name: string, seconds: number, labels: Labels = {}): void {
    const series = this.#histograms.getOrInsert(name, new Map());
    const histogram = series.getOrInsert(formatLabels(labels), { counts: BUCKETS.map(() => 0), sum: 0, count: 0 });
    for (const [i, bound] of BUCKETS.entries())
      if (seconds <= bound) histogram.counts[i] = (histogram.counts[i] ?? 0) + 1;
    histogram.sum += seconds;
    histogram.count++;
  }

  /** A value that is looked up when asked for. */
  gauge(name: string, help: string, value: () => number): void {
    this.#describe(name, help);
    this.#gauges.set(name, value);
  }

  /** Prometheus text format 0.0.4. */
  render(): string {
    const out: string[] = [];
    const head = (name: string, type: string) => {
      if (this.#help.has(name)) out.push(`# HELP ${name} ${this.#help.get(name)}`);
      out.push(`# TYPE ${name} ${type}`);
    };
    for (const [name, value] of this.#gauges) {
      head(name, "gauge");
      out.push(`${name} ${value()}`);
    }
    for (const [name, series] of this.#counters) {
      head(name, "counter");
      for (const [labels, value] of series) out.push(`${name}${labels} ${value}`);
    }
    for (const [name, series] of this.#histograms) {
      head(name, "histogram");
      for (const [labels, { counts, sum, count }] of series) {
        const bucket = (le: string) => (labels === "" ? `{le="${le}"}` : `${labels.slice(0, -1)},le="${le}"}`);
        for (const [i, bound] of BUCKETS.entries())
          out.push(`${name}_bucket${bucket(String(bound))} ${counts[i] ?? 0}`);
        out.push(
          `${name}_bucket${bucket("+Inf")} ${count}`,
          `${name}_sum${labels} ${sum}`,
          `${name}_count${labels} ${count}`,
        );
      }
    }
    return `${out.join("\n")}\n`;
  }

  #describe(name: string, help: string): void {
    this.#help.set(name, help);
  }
}

function formatLabels(labels: Labels): string {
  const parts = Object.entries(labels).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}
