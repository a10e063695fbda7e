import type { Message } from "@bufbuild/protobuf";
import { RpcError, statusName } from "@keelson/grpc";
import type { WatchResponse } from "@keelson/proto";

/** A value that can be compared and printed: messages as plain objects without fields that are unset. */
export type Plain = string | number | boolean | readonly Plain[] | { readonly [key: string]: Plain };

/** What names a server in its answers. */
export interface Identity {
  readonly clusterId: bigint;
  readonly memberId: bigint;
}

/** A message as plain data; ids of the server become names, so that two servers can say the same. */
export function plain(value: unknown, id: Identity): Plain {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
  if (typeof value === "bigint") {
    if (value !== 0n && value === id.clusterId) return "CLUSTER";
    if (value !== 0n && value === id.memberId) return "MEMBER";
    return String(value);
  }
  if (Array.isArray(value)) return value.map((item) => plain(item, id));
  if (typeof value !== "object" || value === null) return value as Plain;
  const out: Record<string, Plain> = {};
  for (const [name, field] of Object.entries(value)) {
    if (name === "$typeName" || field === undefined || isZero(field)) continue;
    out[name] = name === "raftTerm" ? "TERM" : plain(field, id);
  }
  return out;
}

function isZero(field: unknown): boolean {
  if (field instanceof Uint8Array || Array.isArray(field)) return field.length === 0;
  if (typeof field === "object" && field !== null && "case" in field) return field.case === undefined;
  return field === 0n || field === 0 || field === "" || field === false;
}

/** An error as status and text. */
export function plainError(error: unknown): Plain {
  if (!(error instanceof RpcError)) throw error;
  return { error: statusName(error.status), text: error.message };
}

/** The revision in the header of a response, 0 if there is none. */
export function revisionOf(message: Message): number {
  return Number((message as { header?: { revision?: bigint } }).header?.revision ?? 0n);
}

/** A response that says nothing but how far the whole stream has come. */
export function isProgress({ watchId, created, canceled, events }: WatchResponse): boolean {
  return watchId === -1n && !created && !canceled && events.length === 0;
}

/**
 * A response of a stream as entries, each with the watch it belongs to. Events are entries of their own: how many
 * revisions travel in one response depends on how fast the reader is.
 */
export function watchEntries(
  response: WatchResponse,
  id: Identity,
  compacted: number,
): (readonly [watch: string, entry: string])[] {
  const { events, header, ...rest } = response;
  if (isProgress(response)) return [];
  const watch = String(response.watchId);
  const entries = events.map((event) => {
    // What was there before is compacted: upstream leaves it out, we do unless it is still in memory.
    const isLost = Number(event.kv?.modRevision ?? 0n) <= compacted;
    return [watch, JSON.stringify(plain(isLost ? { ...event, prevKv: undefined } : event, id))] as const;
  });
  const said = plain({ ...rest, header: events.length === 0 ? header : undefined }, id);
  if (events.length === 0) entries.push([watch, JSON.stringify(said)]);
  return entries;
}
