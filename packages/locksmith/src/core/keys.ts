import { queryEscape, queryUnescape } from "./go-text.ts";

const BASE = "coreos.com/updateengine/rebootlock";

/** Where the keys of one group are. The semaphore's is upstream's; the others stand beside it. */
export interface GroupKeys {
  /** Everything of the group is below it. */
  readonly prefix: string;
  readonly semaphore: string;
  /** One key per living hold, bound to its lease. */
  readonly holds: string;
  /** One key per holder that has said who it is; outlives the hold, so that a dead holder can be named. */
  readonly records: string;
  /** One key per waiter, bound to a lease; the oldest is first. */
  readonly queue: string;
}

/** Which members of the etcd cluster are leaving, across all groups: see {@link file://./quorum.ts}. */
export const LEAVING_KEY = `${BASE}/leaving`;

/** One key per version that no machine may take any more. */
export const DENIED_PREFIX = "coreos.com/updateengine/rollout/denied/";

/** Source: locksmith lock/etcd.go. The group "" is the default one. */
export function groupKeys(group: string): GroupKeys {
  const prefix = group === "" ? `${BASE}/` : `${BASE}/groups/${queryEscape(group)}/`;
  return {
    prefix,
    semaphore: `${prefix}semaphore`,
    holds: `${prefix}holds/`,
    records: `${prefix}records/`,
    queue: `${prefix}queue/`,
  };
}

/** The key of `name` below a prefix. */
export function keyOf(prefix: string, name: string): string {
  return prefix + queryEscape(name);
}

/** The name of a key below a prefix; undefined when it is no such key. */
export function nameOf(prefix: string, key: string): string | undefined {
  return key.startsWith(prefix) ? queryUnescape(key.slice(prefix.length)) : undefined;
}
