interface QueuedEvent {
  readonly atMs: number;
  readonly order: number;
  readonly fn: () => void;
  canceled: boolean;
}

/** A queue of events in virtual time: a binary heap; events of the same instant run in the order of insertion. */
export class EventQueue {
  readonly #heap: QueuedEvent[] = [];
  #order = 0;
  #live = 0;

  /** Events that are waiting and not canceled. */
  get size(): number {
    return this.#live;
  }

  /** Adds an event. Disposing the result cancels it. */
  add(atMs: number, fn: () => void): Disposable {
    const event: QueuedEvent = { atMs, order: this.#order++, fn, canceled: false };
    this.#heap.push(event);
    this.#up(this.#heap.length - 1);
    this.#live++;
    return {
      [Symbol.dispose]: () => {
        if (event.canceled) return;
        event.canceled = true;
        this.#live--;
      },
    };
  }

  /** When the next event is due, or undefined when there is none. */
  nextAtMs(): number | undefined {
    this.#dropCanceled();
    return this.#heap[0]?.atMs;
  }

  /** Takes the next event. */
  pop(): { readonly atMs: number; readonly fn: () => void } | undefined {
    this.#dropCanceled();
    const event = this.#removeTop();
    if (event === undefined) return undefined;
    // From now on disposing it is too late and must not count again.
    event.canceled = true;
    this.#live--;
    return event;
  }

  #dropCanceled(): void {
    while (this.#heap[0]?.canceled === true) this.#removeTop();
  }

  #removeTop(): QueuedEvent | undefined {
    const top = this.#heap[0];
    const last = this.#heap.pop();
    if (top !== last && last !== undefined) {
      this.#heap[0] = last;
      this.#down(0);
    }
    return top;
  }

  #up(start: number): void {
    const heap = this.#heap;
    const event = heap[start] as QueuedEvent;
    let i = start;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isBefore(event, heap[parent] as QueuedEvent)) break;
      heap[i] = heap[parent] as QueuedEvent;
      i = parent;
    }
    heap[i] = event;
  }

  #down(start: number): void {
    const heap = this.#heap;
    const event = heap[start] as QueuedEvent;
    let i = start;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as QueuedEvent)) child++;
      if (!isBefore(heap[child] as QueuedEvent, event)) break;
      heap[i] = heap[child] as QueuedEvent;
      i = child;
    }
    heap[i] = event;
  }
}

function isBefore(a: QueuedEvent, b: QueuedEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
