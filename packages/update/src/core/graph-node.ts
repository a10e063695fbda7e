const PREFIX = "org.fedoraproject.coreos.";

/** Metadata keys of a node that this code reads or writes; the names are those of Fedora CoreOS's graph. */
export const KEY = {
  ageIndex: `${PREFIX}releases.age_index`,
  scheme: `${PREFIX}scheme`,
  rollout: `${PREFIX}updates.rollout`,
  startEpoch: `${PREFIX}updates.start_epoch`,
  startValue: `${PREFIX}updates.start_value`,
  durationMinutes: `${PREFIX}updates.duration_minutes`,
  barrier: `${PREFIX}updates.barrier`,
  barrierReason: `${PREFIX}updates.barrier_reason`,
  deadend: `${PREFIX}updates.deadend`,
  deadendReason: `${PREFIX}updates.deadend_reason`,
} as const;

/** A release in a graph. */
export interface GraphNode {
  readonly version: string;
  /** Checksum of the OSTree commit. */
  readonly payload: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** `GET /v1/graph`: nodes, and which of them may update to which, as indices into nodes. */
export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly (readonly [number, number])[];
}
