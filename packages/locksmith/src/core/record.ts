/** What a holder says of itself, so that people see more than an id. */
export interface HoldRecord {
  readonly id: string;
  /** The machine's name, for people. */
  readonly machine?: string;
  /** Since when it holds, milliseconds since the Unix epoch by its own clock. */
  readonly sinceMs: number;
  /** The version it reboots into. */
  readonly version?: string;
  /** It has been allowed to go down. When it does not come back, its version is denied to all. */
  readonly isGoingDown?: boolean;
  readonly reason?: string;
  /** In hex; none for a hold that ends by hand only, as upstream's do. */
  readonly lease?: string;
}

const TEXT_MAX = 1_024;

export function encodeRecord(record: HoldRecord): string {
  return JSON.stringify(record);
}

/** Undefined for what is no record: a key that somebody else put there must not stop anyone. */
export function parseRecord(id: string, text: string): HoldRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const fields = value as Record<string, unknown>;
  const sinceMs = fields["sinceMs"];
  if (typeof sinceMs !== "number" || !Number.isFinite(sinceMs)) return undefined;
  const machine = textOf(fields["machine"]);
  const version = textOf(fields["version"]);
  const reason = textOf(fields["reason"]);
  const lease = textOf(fields["lease"]);
  return {
    id,
    sinceMs,
    ...(machine === undefined ? {} : { machine }),
    ...(version === undefined ? {} : { version }),
    ...(reason === undefined ? {} : { reason }),
    ...(fields["isGoingDown"] === true ? { isGoingDown: true } : {}),
    ...(lease !== undefined && /^[0-9a-f]{1,16}$/.test(lease) ? { lease } : {}),
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value.slice(0, TEXT_MAX) : undefined;
}
