/** Bounds of upstream's disk histograms: 1 ms, doubled 14 times. Seconds. */
export const DISK_BUCKETS: readonly number[] = Array.from({ length: 14 }, (_, i) => 0.001 * 2 ** i);

type Labels = Readonly<Record<string, string>>;

/** A count that only grows, one for each set of labels. */
export class Counter {
  readonly #values = new Map<string, number>();

  inc(labels: Labels = {}, by = 1): void {
    const key = renderLabels(labels);
    this.#values.set(key, (this.#values.get(key) ?? 0) + by);
  }

  *lines(name: string): Generator<string> {
    if (this.#values.size === 0) yield `${name} 0`;
    for (const [labels, value] of this.#values) yield `${name}${labels} ${value}`;
  }
}

/** Durations sorted into buckets. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    this.#sum += value;
    this.#count++;
    const at = this.#bounds.findIndex((bound) => value <= bound);
    if (at >= 0) (this.#counts[at] as number)++;
  }

  *lines(name: string): Generator<string> {
    let total = 0;
    for (const [i, bound] of this.#bounds.entries()) {
      total += this.#counts[i] as number;
      yield `${name}_bucket{le="${bound}"} ${total}`;
    }
    yield `${name}_bucket{le="+Inf"} ${this.#count}`;
    yield `${name}_sum ${this.#sum}`;
    yield `${name}_count ${this.#count}`;
  }
}

interface Registered {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly lines: () => Iterable<string>;
}

/** Metrics in the text format of Prometheus. */
export class Registry {
  readonly #all: Registered[] = [];

  counter(name: string, help: string): Counter {
    const counter = new Counter();
    this.#all.push({ name, help, type: "counter", lines: () => counter.lines(name) });
    return counter;
  }

  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const histogram = new Histogram(bounds);
    this.#all.push({ name, help, type: "histogram", lines: () => histogram.lines(name) });
    return histogram;
  }

  /** A value that is looked up when somebody asks. */
  gauge(name: string, help: string, read: () => number, labels: Labels | (() => Labels) = {}): void {
    const line = () => [`${name}${renderLabels(typeof labels === "function" ? labels() : labels)} ${read()}`];
    this.#all.push({ name, help, type: "gauge", lines: line });
  }

  /** As {@link gauge}, for a value that never falls. */
  total(name: string, help: string, read: () => number): void {
    this.#all.push({ name, help, type: "counter", lines: () => [`${name} ${read()}`] });
  }

  render(): string {
    const out: string[] = [];
    for (const { name, help, type, lines } of this.#all) {
      out.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines());
    }
    return `${out.join("\n")}\n`;
  }
}

function renderLabels(labels: Labels): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${value.replace(/["\\\n]/g, "_")}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}
