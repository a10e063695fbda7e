import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** One thing that happened in a simulation. `t` is virtual milliseconds. */
export interface TraceEvent {
  readonly t?: number;
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Collects what happens in a run; only the last `linesMax` events are kept. Nothing is rendered unless asked for. */
export class Trace {
  readonly #linesMax: number;
  #events: TraceEvent[] = [];

  constructor(linesMax = 200_000) {
    this.#linesMax = linesMax;
  }

  /** Adds an event. The object is kept, so it must not change later. */
  add(event: TraceEvent): void {
    this.#events.push(event);
    if (this.#events.length >= 2 * this.#linesMax) this.#events = this.#events.slice(-this.#linesMax);
  }

  /** The events kept, oldest first. */
  events(): readonly TraceEvent[] {
    return this.#events.slice(-this.#linesMax);
  }

  /** The last `count` events as JSON, one per line. */
  tail(count: number): string[] {
    return this.#events.slice(-count).map(renderEvent);
  }

  /** Writes the events kept as JSONL. */
  save(path: string): void {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${this.events().map(renderEvent).join("\n")}\n`);
  }
}

/** JSON of an event; bigints in hex as etcd prints ids, bytes in hex, maps and sets as arrays. */
export function renderEvent(event: TraceEvent): string {
  return JSON.stringify(event, (_key, value: unknown) => {
    if (typeof value === "bigint") return value.toString(16);
    if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
    if (value instanceof Map || value instanceof Set) return [...value];
    if (value instanceof Error) return `${value.name}: ${value.message}`;
    return value;
  });
}
