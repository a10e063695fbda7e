import type { KeyRange } from "./key-range.ts";
import { RangeTree } from "./range-tree.ts";

/** Watchers by what they watch: a map for single keys, an interval tree for ranges. Upstream's watcher_group.go. */
export class WatcherGroup<W extends { readonly range: KeyRange }> {
  readonly #keys = new Map<string, Set<W>>();
  readonly #ranges = new RangeTree<W>();

  add(watcher: W): void {
    const { range } = watcher;
    if (!range.single) {
      this.#ranges.add(range, watcher);
      return;
    }
    const set = this.#keys.get(range.start);
    if (set === undefined) this.#keys.set(range.start, new Set([watcher]));
    else set.add(watcher);
  }

  delete(watcher: W): void {
    const { range } = watcher;
    if (!range.single) {
      this.#ranges.delete(range, watcher);
      return;
    }
    const set = this.#keys.get(range.start);
    set?.delete(watcher);
    if (set?.size === 0) this.#keys.delete(range.start);
  }

  /** Visits every watcher whose range contains the key. */
  match(key: string, visit: (watcher: W) => void): void {
    const set = this.#keys.get(key);
    if (set !== undefined) for (const watcher of set) visit(watcher);
    this.#ranges.stab(key, visit);
  }
}
