/** One thing that happened. */
export interface TimelineEvent {
  /** Seconds since the timeline began. */
  readonly s: number;
  /** Who: a machine, or `harness`. */
  readonly who: string;
  readonly what: string;
}

/** Prints what happens, one line an event, with the seconds since its start; and keeps it for assertions. */
export class Timeline {
  readonly events: TimelineEvent[] = [];
  readonly #startMs = performance.now();
  readonly #print: (line: string) => void;

  constructor(print: (line: string) => void = (line) => void process.stdout.write(`${line}\n`)) {
    this.#print = print;
  }

  /** Seconds since the start. */
  get s(): number {
    return (performance.now() - this.#startMs) / 1000;
  }

  add(who: string, what: string): TimelineEvent {
    const event = { s: this.s, who, what };
    this.events.push(event);
    this.#print(formatEvent(event));
    return event;
  }

  /** The events of one who, or whose text matches, in order. */
  find(what: RegExp, who?: string): TimelineEvent[] {
    return this.events.filter((event) => (who === undefined || event.who === who) && what.test(event.what));
  }
}

/** Pure. */
export function formatEvent({ s, who, what }: TimelineEvent): string {
  return `${s.toFixed(1).padStart(7)} s  ${who.padEnd(8)} ${what}`;
}
