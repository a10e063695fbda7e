import { EtcdClient, EtcdError } from "@keelson/etcd-client";
import { formatErrorChain } from "@keelson/types";

const REQUEST_TIMEOUT_MS = 10_000;
const VERIFY_TIMEOUT_MS = 60_000;

/** What a writer knows at its end. */
export interface WriterReport {
  readonly acknowledged: number;
  /** Writes whose outcome nobody knows: the answer was lost. */
  readonly unknown: number;
  readonly refused: number;
  /** The longest time between two acknowledgements, in seconds. */
  readonly longestGapS: number;
  /** Keys that were acknowledged and are not there, or with an older value than was acknowledged. */
  readonly lost: readonly string[];
}

export interface WriterOptions {
  readonly endpoints: readonly string[];
  readonly prefix?: string;
  /** Pause between writes. */
  readonly everyMs?: number;
}

/**
 * A client that keeps writing: each write to a key of its own ring carries a number that counts up. What was
 * acknowledged is remembered, and must be there in the end, or a later write to the same key.
 */
export class EtcdWriter implements AsyncDisposable {
  readonly #options: Required<WriterOptions>;
  readonly #client: EtcdClient;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  /** Key → the highest number acknowledged. */
  readonly #acknowledged = new Map<string, number>();
  #count = 0;
  #acks = 0;
  #unknown = 0;
  #refused = 0;
  #lastAckMs = performance.now();
  #longestGapMs = 0;
  #lastError = "";

  constructor(options: WriterOptions) {
    this.#options = { prefix: "e2e/writer/", everyMs: 200, ...options };
    this.#client = new EtcdClient({
      endpoints: [...options.endpoints],
      dialTimeoutMs: REQUEST_TIMEOUT_MS,
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
    });
    this.#running = this.#run();
  }

  get acknowledged(): number {
    return this.#acks;
  }

  /** Stops writing. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Stops writing, and looks for every acknowledged write. Linearizable reads: the cluster must have a quorum. */
  async finish(): Promise<WriterReport> {
    await this.stop();
    const lost: string[] = [];
    await using reader = new EtcdClient({
      endpoints: [...this.#options.endpoints],
      dialTimeoutMs: VERIFY_TIMEOUT_MS,
      requestTimeoutMs: VERIFY_TIMEOUT_MS,
    });
    for (const [key, number] of this.#acknowledged) {
      const found = await reader.get(key);
      if (found === undefined || Number(found.text) < number) {
        lost.push(`${key}: acknowledged ${number}, found ${found?.text ?? "nothing"}`);
      }
    }
    return {
      acknowledged: this.#acks,
      unknown: this.#unknown,
      refused: this.#refused,
      longestGapS: this.#longestGapMs / 1000,
      lost,
    };
  }

  /** The last refusal, for a failure's text. */
  get lastError(): string {
    return this.#lastError;
  }

  async #run(): Promise<void> {
    const { prefix, everyMs } = this.#options;
    while (!this.#stop.signal.aborted) {
      const number = ++this.#count;
      const key = `${prefix}${number % 64}`;
      try {
        await this.#client.put(key, String(number));
        this.#acknowledged.set(key, number);
        this.#acks++;
        this.#noteGap();
      } catch (error) {
        this.#lastError = formatErrorChain(error);
        if (error instanceof EtcdError && !error.outcomeUnknown) this.#refused++;
        else this.#unknown++;
      }
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
    this.#noteGap();
  }

  #noteGap(): void {
    const now = performance.now();
    this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastAckMs);
    this.#lastAckMs = now;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#client[Symbol.asyncDispose]();
  }
}
