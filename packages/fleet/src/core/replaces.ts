import type { UnitName } from "@keelson/types";
import type { GlobIndex } from "./glob-index.ts";
import type { Job } from "./model.ts";

type Edges = Map<UnitName, Set<UnitName>>;

/**
 * Reads Replaces= as a relation. Units that replace each other, directly or in a ring, would chase each other for ever,
 * so that such pairs count as if nothing had been said (fleet agent/state.go ignores rings of two; we, of any length).
 */
export function replaceRelation(
  singles: ReadonlyMap<UnitName, Job>,
  globs: GlobIndex,
): { readonly victims: Edges; readonly replacers: Edges } {
  const declared: Edges = new Map();
  for (const job of singles.values()) {
    const found = new Set<UnitName>();
    for (const pattern of job.requirements.replaces) {
      for (const name of globs.matches(pattern)) if (name !== job.name && singles.has(name)) found.add(name);
    }
    if (found.size > 0) declared.set(job.name, found);
  }
  const ringOf = rings(declared);
  const victims: Edges = new Map();
  const replacers: Edges = new Map();
  for (const [replacer, names] of declared) {
    for (const name of names) {
      const ring = ringOf.get(replacer);
      if (ring !== undefined && ring === ringOf.get(name)) continue;
      add(victims, replacer, name);
      add(replacers, name, replacer);
    }
  }
  return { victims, replacers };
}

function add(edges: Edges, from: UnitName, to: UnitName): void {
  const known = edges.get(from);
  if (known === undefined) edges.set(from, new Set([to]));
  else known.add(to);
}

/** Numbers the strongly connected components among units that replace others. Tarjan 1972, without recursion. */
function rings(edges: Edges): ReadonlyMap<UnitName, number> {
  const index = new Map<UnitName, number>();
  const low = new Map<UnitName, number>();
  const open: UnitName[] = [];
  const isOpen = new Set<UnitName>();
  const ringOf = new Map<UnitName, number>();
  let rings = 0;
  const enter = (name: UnitName) => {
    index.set(name, index.size);
    low.set(name, index.size - 1);
    open.push(name);
    isOpen.add(name);
    // Only units that replace something can be in a ring.
    return { name, next: [...(edges.get(name) ?? [])].filter((other) => edges.has(other)).values() };
  };
  const close = (root: UnitName) => {
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      isOpen.delete(name);
      ringOf.set(name, rings);
      if (name === root) break;
    }
    rings++;
  };
  for (const start of edges.keys()) {
    if (index.has(start)) continue;
    const path = [enter(start)];
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const step = top.next.next();
      if (step.done !== true) {
        const seen = index.get(step.value);
        if (seen === undefined) path.push(enter(step.value));
        else if (isOpen.has(step.value)) low.set(top.name, Math.min(low.get(top.name) ?? 0, seen));
        continue;
      }
      path.pop();
      const mine = low.get(top.name) ?? 0;
      if (mine === index.get(top.name)) close(top.name);
      const parent = path.at(-1);
      if (parent !== undefined) low.set(parent.name, Math.min(low.get(parent.name) ?? 0, mine));
    }
  }
  return ringOf;
}
