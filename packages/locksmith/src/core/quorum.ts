import { LocksmithError } from "./errors.ts";

/** A member of the etcd cluster as seen just now. */
export interface MemberHealth {
  /** 16 hex digits. */
  readonly id: string;
  readonly name: string;
  readonly isHealthy: boolean;
  /** Learners do not vote. */
  readonly isVoter: boolean;
}

/** Members whose machines hold a slot, by member id; shared by all groups, since the cluster is. */
export type Leaving = ReadonlyMap<string, { readonly holder: string; readonly group: string }>;

export interface QuorumView {
  readonly members: readonly MemberHealth[];
  /** The member on this machine; undefined when there is none. */
  readonly self: string | undefined;
  /** Others that hold a slot. One of this machine is left out of account. */
  readonly leaving: Leaving;
  /** Other holders of which nobody knows whether they are members: held by hand, or by upstream. */
  readonly unknownHolders: readonly string[];
  /** Clusters of two cannot spare a member; they are let go all the same, one at a time, when this is set. */
  readonly mayLoseQuorum?: boolean;
}

export type QuorumVerdict = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/**
 * Whether the majority of etcd survives when this machine goes down. Members that may leave at any moment because their
 * machines hold a slot count as gone, and so do holders that could be members for all we know. A cluster of one can
 * never spare its member and could never be updated, so there it is allowed.
 */
export function mayGoDown(view: QuorumView): QuorumVerdict {
  const voters = view.members.filter((member) => member.isVoter);
  const self = voters.find((member) => member.id === view.self);
  if (self === undefined || voters.length === 1) return { ok: true };
  const majority = Math.floor(voters.length / 2) + 1;
  const others = voters.filter((member) => member !== self);
  const staying = others.filter((member) => member.isHealthy && !view.leaving.has(member.id));
  const left = staying.length - view.unknownHolders.length;
  if (left >= majority) return { ok: true };
  const isWhole = others.every((member) => member.isHealthy && !view.leaving.has(member.id));
  if (view.mayLoseQuorum === true && voters.length === 2 && isWhole) return { ok: true };
  return { ok: false, reason: explain(view, others, { majority, voters: voters.length, left }) };
}

function explain(
  view: QuorumView,
  others: readonly MemberHealth[],
  { majority, voters, left }: { majority: number; voters: number; left: number },
): string {
  const label = ({ name, id }: MemberHealth) => (name === "" ? id : name);
  const ill = others.filter((member) => !member.isHealthy).map((member) => `${label(member)} is not healthy`);
  const busy = others
    .filter((member) => member.isHealthy && view.leaving.has(member.id))
    .map((member) => `${label(member)} holds a slot`);
  const unknown = view.unknownHolders.map((id) => `holder ${id} may be a member`);
  const why = [...ill, ...busy, ...unknown].join(", ");
  return (
    `etcd would lose its majority: of ${voters} members ${Math.max(0, left)} would be sure to stay, ${majority} must` +
    (why === "" ? "" : ` (${why})`)
  );
}

/** What is stored under the leaving key. @throws {LocksmithError} ERR_SEMAPHORE_FORMAT: to guess would not be safe */
export function parseLeaving(text: string | undefined): Leaving {
  const leaving = new Map<string, { holder: string; group: string }>();
  if (text === undefined) return leaving;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new LocksmithError("ERR_SEMAPHORE_FORMAT", "the list of leaving etcd members cannot be read", {}, { cause });
  }
  if (typeof value !== "object" || value === null) return leaving;
  for (const [member, entry] of Object.entries(value)) {
    if (typeof entry !== "object" || entry === null || !("holder" in entry) || !("group" in entry)) continue;
    leaving.set(member, { holder: String(entry.holder), group: String(entry.group) });
  }
  return leaving;
}

export function encodeLeaving(leaving: Leaving): string {
  return JSON.stringify(Object.fromEntries([...leaving].toSorted(([a], [b]) => (a < b ? -1 : 1))));
}

/** With a holder's member in it, or without whatever that holder had. The same map when nothing changes. */
export function changeLeaving(
  leaving: Leaving,
  holder: { readonly id: string; readonly group: string },
  member: string | undefined,
): Leaving {
  const isTheirs = (entry: { holder: string; group: string }) =>
    entry.holder === holder.id && entry.group === holder.group;
  const has = [...leaving].some(([id, entry]) => isTheirs(entry) && id === member);
  const others = [...leaving].filter(([, entry]) => !isTheirs(entry));
  if (has || (member === undefined && others.length === leaving.size)) return leaving;
  return new Map(
    member === undefined ? others : [...others, [member, { holder: holder.id, group: holder.group }] as const],
  );
}
