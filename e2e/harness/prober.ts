/** A time in which no URL answered. */
export interface Gap {
  /** Seconds since the prober's start. */
  readonly fromS: number;
  readonly lengthS: number;
}

export interface ProbeReport {
  readonly asked: number;
  readonly answered: number;
  /** Times without any answer that are longer than was asked for, oldest first. */
  readonly gaps: readonly Gap[];
  /** Different texts that were answered, in the order they were first seen. */
  readonly texts: readonly string[];
}

export interface ProberOptions {
  /** All are asked in turn; a container that moves answers at another. */
  readonly urls: readonly string[];
  readonly everyMs?: number;
  readonly timeoutMs?: number;
  /** Shorter ones are not reported. */
  readonly gapMs?: number;
  /** Called when the service answers after a gap, and when it stops to. */
  readonly onChange?: (isUp: boolean, lengthS: number) => void;
}

/** Asks a web service all the time, wherever it may be, and notes when nobody answers. */
export class WebProber implements AsyncDisposable {
  readonly #options: Required<Omit<ProberOptions, "onChange">> & Pick<ProberOptions, "onChange">;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #startMs = performance.now();
  readonly #gaps: Gap[] = [];
  readonly #texts = new Set<string>();
  #asked = 0;
  #answered = 0;
  #lastUpMs = performance.now();
  #isUp = false;

  constructor(options: ProberOptions) {
    this.#options = { everyMs: 250, timeoutMs: 2_000, gapMs: 1_000, ...options };
    this.#running = this.#run();
  }

  /** Whether a URL answered in the last round. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** Ends it. The time up to now counts. */
  async finish(): Promise<ProbeReport> {
    this.#stop.abort();
    await this.#running;
    this.#noteUp(performance.now());
    return { asked: this.#asked, answered: this.#answered, gaps: this.#gaps, texts: [...this.#texts] };
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const texts = await Promise.all(this.#options.urls.map((url) => this.#ask(url)));
      this.#asked++;
      const isUp = texts.some((text) => text !== undefined);
      for (const text of texts) if (text !== undefined) this.#texts.add(text);
      const now = performance.now();
      if (isUp) {
        this.#answered++;
        this.#noteUp(now);
      } else if (this.#isUp && now - this.#lastUpMs > this.#options.gapMs) {
        this.#isUp = false;
        this.#options.onChange?.(false, (now - this.#lastUpMs) / 1000);
      }
      await new Promise((resolve) => setTimeout(resolve, this.#options.everyMs));
    }
  }

  #noteUp(now: number): void {
    const lengthMs = now - this.#lastUpMs;
    // Before its first answer a service is not away but not there yet.
    if (lengthMs > this.#options.gapMs && this.#answered > 1) {
      this.#gaps.push({ fromS: (this.#lastUpMs - this.#startMs) / 1000, lengthS: lengthMs / 1000 });
    }
    if (!this.#isUp && !this.#stop.signal.aborted) {
      this.#isUp = true;
      this.#options.onChange?.(true, lengthMs / 1000);
    }
    this.#lastUpMs = now;
  }

  async #ask(url: string): Promise<string | undefined> {
    try {
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(this.#options.timeoutMs)]);
      const response = await fetch(url, { signal });
      const text = await response.text();
      return response.ok ? text.trim() : undefined;
    } catch {
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}
