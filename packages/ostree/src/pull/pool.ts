/**
 * Runs work in parallel, where work may add more work. Last in, first out: a tree is walked depth first, so that what
 * waits stays small. The first failure stops the pool; `run` rejects with it when nothing is in flight any more.
 */
export class WorkPool<T> {
  readonly #waiting: T[] = [];
  readonly #parallel: number;
  readonly #work: (item: T) => Promise<void>;
  #running = 0;
  #failure: { readonly error: unknown } | undefined;
  #done: PromiseWithResolvers<void> | undefined;

  /** `onFailure` is called once, at the first failure, to cancel what is in flight. */
  constructor(parallel: number, work: (item: T) => Promise<void>, onFailure: (error: unknown) => void = () => {}) {
    this.#parallel = parallel;
    this.#work = async (item) => {
      try {
        await work(item);
      } catch (error) {
        if (this.#failure !== undefined) return;
        this.#failure = { error };
        this.#waiting.length = 0;
        onFailure(error);
      }
    };
  }

  /** Adds work, before or during `run`. */
  add(item: T): void {
    if (this.#failure !== undefined) return;
    this.#waiting.push(item);
    if (this.#done !== undefined) this.#start();
  }

  /** Resolves when no work is left. */
  async run(): Promise<void> {
    this.#done = Promise.withResolvers<void>();
    this.#start();
    await this.#done.promise;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #start(): void {
    while (this.#running < this.#parallel) {
      const item = this.#waiting.pop();
      if (item === undefined) break;
      this.#running++;
      void this.#work(item).then(() => {
        this.#running--;
        this.#start();
      });
    }
    if (this.#running === 0 && this.#waiting.length === 0) this.#done?.resolve();
  }
}
