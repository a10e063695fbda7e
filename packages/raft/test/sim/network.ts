import type { Prng } from "@keelson/testkit";
import { decodeMessage, encodeMessage, type Message } from "../../src/index.ts";

export interface NetworkOptions {
  readonly loss: number;
  readonly duplication: number;
  /** Ticks on the way, at most; different delays reorder messages. */
  readonly delayMax: number;
}

interface Flight {
  readonly dueTick: number;
  readonly from: bigint;
  readonly to: bigint;
  readonly bytes: Uint8Array;
}

/** Loses, repeats, delays and reorders messages, which travel encoded; links can be cut in one direction. */
export class Network {
  options: NetworkOptions;
  readonly #rng: Prng;
  readonly #cut = new Set<string>();
  #flights: Flight[] = [];
  #tick = 0;

  constructor(rng: Prng, options: NetworkOptions) {
    this.#rng = rng;
    this.options = options;
  }

  cut(from: bigint, to: bigint): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  /** False when the message will not arrive. */
  send(m: Message): boolean {
    const lost = this.#cut.has(`${m.from}>${m.to}`) || this.#rng.chance(this.options.loss);
    if (lost) return false;
    const bytes = encodeMessage(m);
    const copies = this.#rng.chance(this.options.duplication) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const dueTick = this.#tick + 1 + this.#rng.below(this.options.delayMax);
      this.#flights.push({ dueTick, from: m.from, to: m.to, bytes });
    }
    return true;
  }

  /** What arrives in the next tick. */
  advance(): Message[] {
    this.#tick++;
    const due = this.#flights.filter((f) => f.dueTick <= this.#tick && !this.#cut.has(`${f.from}>${f.to}`));
    this.#flights = this.#flights.filter((f) => f.dueTick > this.#tick);
    return due.map((f) => decodeMessage(f.bytes));
  }
}
