import { assert, type Clock } from "@keelson/types";
import type { Denial, Target } from "../core/choose.ts";
import { buildGraph } from "../core/graph.ts";
import type { Graph } from "../core/graph-node.ts";
import type { StreamReleases } from "../core/release.ts";

/** What happens when a version is booted. */
export type Behaviour = "good" | "panics" | "gate-red";

interface SlotHold {
  version: string;
  expiresAtMs: number;
}

/**
 * What simulated machines share: an update server, one reboot lock with a time to live, and the list of denials. It
 * keeps the score: what must never happen throws as it happens.
 */
export class SimFleet {
  readonly clock: Clock;
  readonly lockTtlMs: number;
  readonly slots: number;
  readonly denials: Denial[] = [];
  readonly holds = new Map<string, SlotHold>();
  readonly behaviours = new Map<string, Behaviour>();
  /** What must never happen and did. An agent sees only that a port failed, so the test must look here. */
  readonly violations: string[] = [];
  /** Machines that an agent has rebooted into a version. */
  readonly tried = new Map<string, Set<string>>();
  /** Names a graph that is not to be trusted: its commits exist nowhere. */
  isServerLying = false;
  isServerDown = false;
  stream: StreamReleases;

  constructor(clock: Clock, options: { stream: StreamReleases; lockTtlMs: number; slots: number }) {
    this.clock = clock;
    this.stream = options.stream;
    this.lockTtlMs = options.lockTtlMs;
    this.slots = options.slots;
  }

  graph(): Graph {
    const graph = buildGraph(this.stream);
    if (!this.isServerLying) return graph;
    const nodes = graph.nodes.map((node, i) =>
      i === graph.nodes.length - 1 ? { ...node, payload: node.payload.replaceAll(/./g, "0") } : node,
    );
    return { ...graph, nodes };
  }

  commitOf(version: string): string {
    const release = this.stream.releases.find((r) => r.version === version);
    assert(release !== undefined, "the version exists", { version });
    return release.commit;
  }

  /** An invariant of the whole fleet. */
  must(condition: boolean, what: string): void {
    if (condition) return;
    this.violations.push(`${(this.clock.monotonicMs() / 1_000).toFixed(1)} ${what}`);
  }

  /** False: full. */
  tryTake(machine: string, version: string): boolean {
    this.#reap();
    const own = this.holds.get(machine);
    if (own === undefined && this.holds.size >= this.slots) return false;
    this.holds.set(machine, { version, expiresAtMs: this.#nowMs() + this.lockTtlMs });
    return true;
  }

  /** False: not held any more. */
  renew(machine: string): boolean {
    this.#reap();
    const hold = this.holds.get(machine);
    if (hold === undefined) return false;
    hold.expiresAtMs = this.#nowMs() + this.lockTtlMs;
    return true;
  }

  holdsLock(machine: string): boolean {
    this.#reap();
    return this.holds.has(machine);
  }

  release(machine: string): void {
    this.holds.delete(machine);
  }

  deny(denial: Denial): void {
    if (!this.denials.some((d) => d.version === denial.version)) this.denials.push(denial);
  }

  /** Told by a machine whose agent asks for a reboot. */
  noteTrial(machine: string, target: Target): void {
    const denial = this.denials.find((d) => d.version === target.version);
    this.must(denial === undefined, `${machine} tries ${target.version}, which is denied: ${denial?.reason}`);
    this.tried.getOrInsertComputed(target.version, () => new Set()).add(machine);
  }

  #reap(): void {
    for (const [machine, hold] of this.holds) {
      if (hold.expiresAtMs > this.#nowMs()) continue;
      this.holds.delete(machine);
      const at = Math.floor(this.clock.wallMs() / 1_000);
      this.deny({ version: hold.version, commit: "", machine: "others", reason: `${machine} did not come back`, at });
    }
  }

  #nowMs(): number {
    return this.clock.monotonicMs();
  }
}
