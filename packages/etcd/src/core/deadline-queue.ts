import type { LeaseId } from "@keelson/types";

interface Item {
  atMs: number;
  readonly id: LeaseId;
}

/** A binary heap of leases by time, earliest first. It may hold stale items: the caller knows the truth. */
export class DeadlineQueue {
  readonly #heap: Item[] = [];

  get size(): number {
    return this.#heap.length;
  }

  clear(): void {
    this.#heap.length = 0;
  }

  push(atMs: number, id: LeaseId): void {
    const heap = this.#heap;
    heap.push({ atMs, id });
    for (let i = heap.length - 1; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!this.#swapIfEarlier(i, parent)) return;
      i = parent;
    }
  }

  /** Takes the earliest item that is due, or undefined. */
  popDue(nowMs: number): Item | undefined {
    const heap = this.#heap;
    const top = heap[0];
    if (top === undefined || top.atMs > nowMs) return undefined;
    const last = heap.pop() as Item;
    if (heap.length > 0) {
      heap[0] = last;
      this.#sink();
    }
    return top;
  }

  #sink(): void {
    for (let i = 0; ; ) {
      const left = 2 * i + 1;
      if (left >= this.#heap.length) return;
      const right = left + 1;
      const child = right < this.#heap.length && this.#at(right) < this.#at(left) ? right : left;
      if (!this.#swapIfEarlier(child, i)) return;
      i = child;
    }
  }

  #at(i: number): number {
    return (this.#heap[i] as Item).atMs;
  }

  #swapIfEarlier(child: number, parent: number): boolean {
    const [c, p] = [this.#heap[child] as Item, this.#heap[parent] as Item];
    if (c.atMs >= p.atMs) return false;
    this.#heap[child] = p;
    this.#heap[parent] = c;
    return true;
  }
}
