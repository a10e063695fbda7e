import { ageIndex } from "./graph.ts";
import { type Graph, KEY } from "./graph-node.ts";

/** A version and the commit that it is. */
export interface Target {
  readonly version: string;
  readonly commit: string;
}

/** A version that must not be tried, and why. What other machines deny may name the version alone: then `commit` is empty. */
export interface Denial extends Target {
  readonly reason: string;
  /** Name of the machine that found out. */
  readonly machine: string;
  /** Seconds since 1970. */
  readonly at: number;
}

/** What a graph means for one machine. */
export type Choice =
  | { readonly kind: "update"; readonly target: Target }
  /** There is nothing newer to go to. */
  | { readonly kind: "none" }
  /** There would be something, but these were refused. */
  | { readonly kind: "denied"; readonly denied: readonly Denial[] }
  /** There is something, but only older versions. */
  | { readonly kind: "downgrade"; readonly version: string }
  /** The stream ends here for this version. */
  | { readonly kind: "deadend"; readonly reason: string }
  /** The server does not know what runs here; it will not update until it does. */
  | { readonly kind: "unknown" };

/**
 * Zincati's choice: of all releases that the booted one has an edge to, leave out the denied and (unless allowed) those
 * that are no newer, and take the newest by age index. Source: zincati `src/cincinnati/mod.rs`.
 */
export function chooseUpdate(
  graph: Graph,
  booted: Target,
  options: { readonly denied: readonly Denial[]; readonly allowDowngrade: boolean },
): Choice {
  const here = graph.nodes.findIndex((node) => node.payload === booted.commit);
  const own = graph.nodes[here];
  if (own === undefined) return { kind: "unknown" };
  if (own.metadata[KEY.deadend] === "true") {
    return { kind: "deadend", reason: own.metadata[KEY.deadendReason] ?? "no reason given" };
  }
  const reachable = graph.edges
    .filter(([from]) => from === here)
    .flatMap(([, to]) => graph.nodes[to] ?? [])
    .toSorted((a, b) => ageIndex(b) - ageIndex(a));
  const newer = reachable.filter((node) => options.allowDowngrade || ageIndex(node) > ageIndex(own));
  const refused: Denial[] = [];
  for (const { version, payload } of newer) {
    const denial = findDenial(options.denied, { version, commit: payload });
    if (denial === undefined) return { kind: "update", target: { version, commit: payload } };
    refused.push(denial);
  }
  if (refused.length > 0) return { kind: "denied", denied: refused };
  const older = reachable[0];
  return older === undefined ? { kind: "none" } : { kind: "downgrade", version: older.version };
}

/** The denial of a target. Both its version and its commit count: neither a re-tagged commit nor a re-built version. */
export function findDenial(denied: readonly Denial[], target: Target): Denial | undefined {
  return denied.find(({ version, commit }) => version === target.version || commit === target.commit);
}
