/** Why no machine may take a version any more. */
export interface Denial {
  readonly version: string;
  readonly reason: string;
  /** The machine that found out. */
  readonly by: string;
  /** Milliseconds since the Unix epoch, by that machine's clock. */
  readonly atMs: number;
}

const TEXT_MAX = 1_024;

export function encodeDenial(denial: Denial): string {
  const { version, reason, by, atMs } = denial;
  return JSON.stringify({ version, reason: reason.slice(0, TEXT_MAX), by: by.slice(0, TEXT_MAX), atMs });
}

/** What stands under the key of a version. The key alone denies it: what cannot be read only lacks its reason. */
export function parseDenial(version: string, text: string): Denial {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const fields = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const textOf = (field: unknown, fallback: string) =>
    typeof field === "string" && field !== "" ? field.slice(0, TEXT_MAX) : fallback;
  const atMs = fields["atMs"];
  return {
    version,
    reason: textOf(fields["reason"], "no reason is given"),
    by: textOf(fields["by"], "unknown"),
    atMs: typeof atMs === "number" && Number.isFinite(atMs) ? atMs : 0,
  };
}
