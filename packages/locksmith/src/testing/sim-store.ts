import type { SimNetwork } from "@keelson/testkit";
import type { Clock } from "@keelson/types";
import { type MemoryLockServer, waitForChange } from "../store/memory-store.ts";
import { type LockStore, StoreUnavailableError } from "../store/port.ts";

type Method = keyof LockStore;

/** What goes over the simulated network. */
export type StoreMessage =
  | { readonly type: "request"; readonly id: number; readonly method: Method; readonly args: readonly unknown[] }
  | { readonly type: "answer"; readonly id: number; readonly result?: unknown; readonly error?: unknown };

export const SERVER = "etcd";

const REQUEST_MS = 5_000;
const WATCH_MS = 3_000;
const WRITES: ReadonlySet<Method> = new Set(["commit", "grant", "revoke", "keepAlive"]);

/** Serves a store on the network. While `isServing` is false requests are lost. */
export function serve(
  server: MemoryLockServer,
  network: SimNetwork<string, StoreMessage>,
  isServing: () => boolean,
): void {
  network.attach(SERVER, (from, message) => {
    if (message.type !== "request" || !isServing()) return;
    const { id, method, args } = message;
    if (method === "changed") {
      const [prefix, afterRevision] = args as [string, number];
      void waitForChange(server, prefix, afterRevision, new AbortController().signal).then(() =>
        network.send(SERVER, from, { type: "answer", id }),
      );
      return;
    }
    try {
      const call = server[method] as (...args: unknown[]) => unknown;
      network.send(SERVER, from, { type: "answer", id, result: call.apply(server, [...args]) });
    } catch (error) {
      network.send(SERVER, from, { type: "answer", id, error });
    }
  });
}

/** A machine's way to the store: over a network that may lose, delay and repeat. */
export class SimLockStore implements LockStore, Disposable {
  readonly #network: SimNetwork<string, StoreMessage>;
  readonly #clock: Clock;
  readonly #id: string;
  readonly #attachment: Disposable;
  readonly #open = new Map<number, (message: StoreMessage & { type: "answer" }) => void>();
  #nextId = 1;

  constructor(network: SimNetwork<string, StoreMessage>, clock: Clock, id: string) {
    this.#network = network;
    this.#clock = clock;
    this.#id = id;
    this.#attachment = network.attach(id, (_from, message) => {
      if (message.type === "answer") this.#open.get(message.id)?.(message);
    });
  }

  read(ranges: Parameters<LockStore["read"]>[0], signal?: AbortSignal) {
    return this.#call("read", [ranges], signal) as ReturnType<LockStore["read"]>;
  }

  commit(
    conditions: Parameters<LockStore["commit"]>[0],
    writes: Parameters<LockStore["commit"]>[1],
    signal?: AbortSignal,
  ) {
    return this.#call("commit", [conditions, writes], signal) as ReturnType<LockStore["commit"]>;
  }

  grant(ttlS: number, signal?: AbortSignal) {
    return this.#call("grant", [ttlS], signal) as ReturnType<LockStore["grant"]>;
  }

  keepAlive(id: bigint, signal?: AbortSignal) {
    return this.#call("keepAlive", [id], signal) as Promise<number>;
  }

  revoke(id: bigint, signal?: AbortSignal) {
    return this.#call("revoke", [id], signal) as Promise<void>;
  }

  async changed(prefix: string, afterRevision: number, signal: AbortSignal): Promise<void> {
    // A lost answer costs one more question; the caller reads anyway.
    await this.#call("changed", [prefix, afterRevision], signal, WATCH_MS).catch(() => {});
  }

  [Symbol.dispose](): void {
    this.#attachment[Symbol.dispose]();
  }

  #call(method: Method, args: readonly unknown[], signal?: AbortSignal, timeoutMs = REQUEST_MS): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const id = this.#nextId++;
    const end = () => {
      timer[Symbol.dispose]();
      signal?.removeEventListener("abort", fail);
      this.#open.delete(id);
    };
    const fail = () => {
      end();
      reject(new StoreUnavailableError("no answer", WRITES.has(method)));
    };
    const timer = this.#clock.after(timeoutMs, fail);
    if (signal?.aborted === true) {
      fail();
      return promise;
    }
    signal?.addEventListener("abort", fail, { once: true });
    this.#open.set(id, ({ result, error }) => {
      end();
      if (error === undefined) resolve(result);
      else reject(error);
    });
    this.#network.send(this.#id, SERVER, { type: "request", id, method, args });
    return promise;
  }
}
