import { Prng, SimClock } from "@keelson/testkit";
import { type Logger, silentLogger } from "@keelson/types";
import { Semaphore, type SemaphoreOptions } from "../semaphore.ts";
import { MemoryLockServer, MemoryLockStore } from "../store/memory-store.ts";
import type { LockStore } from "../store/port.ts";

/** A simulated clock, a store in memory, and semaphores on it; for unit tests. */
export class World {
  readonly clock = new SimClock();
  readonly server = new MemoryLockServer(this.clock);
  readonly store: LockStore = new MemoryLockStore(this.server);
  readonly random = new Prng(1);
  readonly logger: Logger = silentLogger;

  semaphore(options: Partial<SemaphoreOptions> = {}): Semaphore {
    const { clock, store, random, logger } = this;
    return new Semaphore({ store, clock, random, logger, ...options });
  }

  /** A machine that can die: from then on it neither acts nor learns anything. */
  machine(options: Partial<SemaphoreOptions> = {}): { readonly semaphore: Semaphore; die(): void } {
    const clock = this.clock.view();
    let isDead = false;
    const store = new Proxy(this.store, {
      get: (target, name) => {
        const method = target[name as keyof LockStore] as (...args: unknown[]) => Promise<unknown>;
        return async (...args: unknown[]) => {
          const result = isDead ? undefined : await method.apply(target, args);
          return isDead ? await new Promise(() => {}) : result;
        };
      },
    });
    const die = () => {
      isDead = true;
      clock[Symbol.dispose]();
    };
    return { semaphore: this.semaphore({ clock, store, ...options }), die };
  }

  /** Everything stored, as `key=value` without the common prefix. */
  keys(): string[] {
    return this.server.read([{ prefix: "" }]).entries.map(({ key, value }) => `${key.replace(PREFIX, "")}=${value}`);
  }

  /** Lets time pass until `promise` is settled, and gives its value. */
  async until<T>(promise: Promise<T>, limitMs = 3_600_000): Promise<T> {
    let isSettled = false;
    const settle = () => void (isSettled = true);
    promise.then(settle, settle);
    const endMs = this.clock.monotonicMs() + limitMs;
    for (await this.clock.settle(); !isSettled; await this.clock.settle()) {
      if (this.clock.monotonicMs() >= endMs || !this.clock.step()) throw new Error("it does not come to an end");
    }
    return await promise;
  }
}

const PREFIX = "coreos.com/updateengine/rebootlock/";
