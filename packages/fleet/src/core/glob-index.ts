import type { UnitName } from "@keelson/types";
import { globMatches } from "@keelson/unit";
import { compareText } from "./model.ts";

const META = /[*?[\\]/;

/** Which of a fixed set of names a glob matches, each glob looked at once and only among names with its literal prefix. */
export class GlobIndex {
  readonly #sorted: readonly UnitName[];
  readonly #known: ReadonlySet<UnitName>;
  readonly #matches = new Map<string, ReadonlySet<UnitName>>();

  constructor(names: Iterable<UnitName>) {
    this.#known = new Set(names);
    this.#sorted = [...this.#known].sort(compareText);
  }

  /** The names that `pattern` matches; none for a malformed pattern, as in fleet. */
  matches(pattern: string): ReadonlySet<UnitName> {
    const known = this.#matches.get(pattern);
    if (known !== undefined) return known;
    const found = this.#find(pattern);
    this.#matches.set(pattern, found);
    return found;
  }

  #find(pattern: string): ReadonlySet<UnitName> {
    const meta = pattern.search(META);
    if (meta === -1) return new Set(this.#known.has(pattern) ? [pattern] : []);
    const prefix = pattern.slice(0, meta);
    const found = new Set<UnitName>();
    for (let i = this.#lowerBound(prefix); i < this.#sorted.length; i++) {
      const name = this.#sorted[i] ?? "";
      if (!name.startsWith(prefix)) break;
      if (globMatches(pattern, name)) found.add(name);
    }
    return found;
  }

  #lowerBound(prefix: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (compareText(this.#sorted[mid] ?? "", prefix) < 0) low = mid + 1;
      else high = mid;
    }
    return low;
  }
}
