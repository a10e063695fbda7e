import type { Agent, Phase, StateName } from "./agent/model.ts";
import type { Denial, Target } from "./choose.ts";
import type { HistoryEntry } from "./memory.ts";

/** `GET /v1/status`. Times are seconds since 1970. */
export interface StatusView {
  readonly agent: { readonly version: string; readonly strategy: string; readonly enabled: boolean };
  readonly server: { readonly url: string; readonly stream: string; readonly group: string };
  readonly booted: Target & { readonly deployment: string; readonly onTrial: boolean };
  /** What `osctl update rollback` would boot. */
  readonly previous: Target | null;
  readonly state: StateName;
  /** Why it is in this state, or null. */
  readonly note: string | null;
  /** What it is on the way to. */
  readonly target: Target | null;
  readonly progress: {
    readonly objectsDone: number;
    readonly objectsTotal: number;
    readonly bytesReceived: number;
  } | null;
  /** Why nothing is done without being told, or null. */
  readonly held: string | null;
  readonly lastCheck: { readonly at: number | null; readonly failures: number; readonly error: string | null };
  /** The last thing that was done to this machine. */
  readonly last: (HistoryEntry & { readonly text: string }) | null;
  readonly denied: readonly Denial[];
  readonly health: {
    readonly green: boolean;
    readonly checks: readonly {
      readonly name: string;
      readonly outcome: string;
      readonly required: boolean;
      readonly tookMs: number;
      readonly detail: string;
    }[];
  } | null;
}

/** The parts of a status that an agent itself knows. Pure. */
export function describeAgent(
  agent: Agent,
): Pick<StatusView, "booted" | "previous" | "state" | "note" | "target" | "held" | "lastCheck" | "last" | "denied"> {
  const { boot, memory, phase } = agent;
  const last = memory.history.at(-1);
  return {
    booted: { ...boot.booted, onTrial: boot.isTrial && phase.state !== "good" && phase.state !== "idle" },
    previous: boot.previous === undefined ? null : plain(boot.previous),
    state: phase.state,
    note: "note" in phase ? (phase.note ?? null) : null,
    target: targetOf(phase, agent),
    held: agent.held ?? null,
    lastCheck: {
      at: agent.check.lastAt ?? null,
      failures: agent.check.failures,
      error: agent.check.error ?? null,
    },
    last: last === undefined ? null : { ...last, text: describeEntry(last) },
    denied: memory.denied,
  };
}

/** What happened, as a sentence. Pure. */
export function describeEntry(entry: HistoryEntry): string {
  const { from, to, reason } = entry;
  const why = reason === undefined ? "" : `: ${reason}`;
  switch (entry.what) {
    case "updated":
      return `updated from ${from.version} to ${to.version}`;
    case "rolled-back":
      return `rolled back from ${to.version} to ${from.version}${why}`;
    case "reverted":
      return `taken back from ${from.version} to ${to.version} by an operator`;
    case "abandoned":
      return `gave up on ${to.version}${why}`;
  }
}

function targetOf(phase: Phase, agent: Agent): Target | null {
  if ("candidate" in phase) return plain(phase.candidate.target);
  const { attempt } = agent.memory;
  return attempt === undefined ? null : plain(attempt.target);
}

function plain({ version, commit }: Target): Target {
  return { version, commit };
}
