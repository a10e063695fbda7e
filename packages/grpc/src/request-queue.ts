/**
 * The requests of a streaming call: filled by the transport, read by the handler. Asks the transport to pause when
 * `limit` messages wait and to resume when they are taken, so that a fast client fills its own window, not our memory.
 */
export class RequestQueue<T> implements AsyncIterableIterator<T> {
  readonly #limit: number;
  readonly #flow: (paused: boolean) => void;
  #items: T[] = [];
  #waiting: { resolve: (r: IteratorResult<T>) => void; reject: (e: unknown) => void } | undefined;
  #ended = false;
  #error: unknown;
  #paused = false;

  constructor(limit: number, flow: (paused: boolean) => void) {
    this.#limit = limit;
    this.#flow = flow;
  }

  push(item: T): void {
    if (this.#ended) return;
    if (this.#waiting !== undefined) {
      this.#waiting.resolve({ value: item, done: false });
      this.#waiting = undefined;
      return;
    }
    this.#items.push(item);
    if (this.#items.length >= this.#limit && !this.#paused) {
      this.#paused = true;
      this.#flow(true);
    }
  }

  /** No more requests; with an error, the reader gets it after what is queued. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    if (this.#waiting === undefined) return;
    if (error === undefined) this.#waiting.resolve({ value: undefined, done: true });
    else this.#waiting.reject(error);
    this.#waiting = undefined;
  }

  next(): Promise<IteratorResult<T>> {
    const item = this.#items.shift();
    if (item !== undefined) {
      if (this.#paused && this.#items.length < this.#limit) {
        this.#paused = false;
        this.#flow(false);
      }
      return Promise.resolve({ value: item, done: false });
    }
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<T>>();
    this.#waiting = { resolve, reject };
    return promise;
  }

  return(): Promise<IteratorResult<T>> {
    this.#items = [];
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
