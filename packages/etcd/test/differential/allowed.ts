import type { Message } from "@bufbuild/protobuf";
import { findDuplicateKey, type TxnOp } from "@keelson/mvcc";
import { Cluster, KV, Lease, Maintenance, type TxnRequest } from "@keelson/proto";
import { toTxn } from "../../src/core/convert.ts";
import type { Step } from "./generate.ts";
import type { Plain } from "./normalise.ts";
import { withoutTies } from "./ties.ts";

// Never asked (NOT_ASKED), because the answers would part the two states, or upstream would not survive it:
// - sort orders and targets that do not exist: 3.5.16 panics (the connection drops), 3.7 refuses as we do;
// - Compact 0: upstream lets it pass once, on a store that was never compacted;
// - starting a watch at a negative revision: 3.5.16 starts it, 3.7 refuses as we do;
// - progress on a stream without watches: upstream is silent, we answer;
// - a watch that a compaction has cancelled: until the client cancels it, too, upstream keeps its id taken and tells no
//   progress on its stream. The test cancels it at once and leaves out the answer, which we do not give;
// - `isAsked`.
// - an Alarm with an action that does not exist: 3.5.16 panics, we list the alarms;
// - what needs authentication to be enabled, and Downgrade: not there yet (README).

type Fields = Readonly<Record<string, Plain>>;

/** A difference that is meant, and why. `hide` takes out of both answers what is not to be compared. */
interface Allowed {
  readonly why: string;
  readonly applies: (step: Step) => boolean;
  readonly hide: (answer: Fields, request: Message) => Fields;
}

const asks =
  (...methods: readonly object[]) =>
  (step: Step) =>
    step.kind === "unary" && methods.includes(step.method);

/** Every difference from Debian's etcd 3.5 that is no fault of ours. Keep it short. */
export const ALLOWED: readonly Allowed[] = [
  {
    why: "names and addresses are the member's own; only the shape of the list is comparable",
    applies: asks(Cluster.method.memberList),
    hide: ({ members, ...rest }) => ({
      ...rest,
      members: ((members ?? []) as readonly Fields[]).map((m) => Object.keys(m).toSorted()),
    }),
  },
  {
    why: "sizes, indexes and the version are each server's own; storageVersion, dbSizeQuota and downgradeInfo came with 3.6",
    applies: asks(Maintenance.method.status),
    hide: ({ header, errors, leader, isLearner }) => ({
      header: header ?? "",
      errors: errors ?? [],
      leader: leader ?? "",
      isLearner: isLearner ?? false,
    }),
  },
  {
    why: "our store has other bytes on disk, hash_revision came with 3.6, and at a compacted revision upstream answers the hash that it kept of that compaction, with the one before as compact_revision",
    applies: asks(Maintenance.method.hashKV),
    hide: ({ header }) => ({ header: header ?? "" }),
  },
  {
    why: "time passes between the two answers; upstream lists the keys of a lease in the order of a Go map",
    applies: asks(Lease.method.leaseTimeToLive),
    hide: ({ TTL, keys, ...rest }) => ({
      ...rest,
      TTL: Number(TTL ?? 0) > 0 ? "left" : (TTL ?? "0"),
      keys: ((keys ?? []) as readonly string[]).toSorted(),
    }),
  },
  {
    why: "leases are listed by what they have left, which is the same for many",
    applies: asks(Lease.method.leaseLeases),
    hide: ({ leases, ...rest }) => ({
      ...rest,
      leases: ((leases ?? []) as readonly Fields[]).map((l) => l["ID"] as string).toSorted(),
    }),
  },
  {
    why: "3.7 answers keys_only from its index, without the lease; 3.5 reads the value and drops it",
    applies: (step) => step.kind === "unary" && hasKeysOnly(step.request),
    hide: (answer) => withoutLeases(answer) as Fields,
  },
  {
    why: "upstream sorts by an unstable method: those that compare equal come in any order, and a limit may cut any of them",
    applies: asks(KV.method.range, KV.method.txn),
    hide: (answer, request) => withoutTies(request, answer) as Fields,
  },
];

const COMPACTED = "etcdserver: mvcc: required revision has been compacted";

/** Refusals of one transaction may be several; 3.5 looks at all puts before all ranges, 3.7 in the order of operations. */
const ANY_OF_THESE_IN_TXN: ReadonlySet<Plain | undefined> = new Set([
  "etcdserver: key not found",
  "etcdserver: requested lease not found",
  COMPACTED,
  "etcdserver: mvcc: required revision is a future revision",
]);

function hasKeysOnly(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(([name, field]) => (name === "keysOnly" && field === true) || hasKeysOnly(field));
}

function withoutLeases(value: Plain): Plain {
  if (Array.isArray(value)) return value.map(withoutLeases);
  if (typeof value !== "object") return value;
  const kept = Object.entries(value).filter(([name]) => name !== "lease");
  return Object.fromEntries(kept.map(([name, field]) => [name, withoutLeases(field)]));
}

/**
 * Not asked: a transaction that puts and deletes one key in ways that upstream's check overlooks: an open-ended delete,
 * or one in a nested transaction. We refuse all of them.
 */
export function isAsked(txn: TxnRequest): boolean {
  if (hasEmptyOp(txn)) return true; // refused before anything is looked at
  const { success, failure } = toTxn(txn);
  return [success, failure].every((ops) => {
    if (findDuplicateKey(ops) === undefined || findDuplicateKey(withoutDeletes(ops)) !== undefined) return true;
    return ops.every((op) => op.type !== "txn" && !(op.type === "deleteRange" && op.deleteRange.end?.length === 1));
  });
}

function hasEmptyOp({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].some(
    ({ request }) => request.case === undefined || (request.case === "requestTxn" && hasEmptyOp(request.value)),
  );
}

function withoutDeletes(ops: readonly TxnOp[]): readonly TxnOp[] {
  const kept = ops.filter((op) => op.type !== "deleteRange");
  return kept.map((op) => {
    if (op.type !== "txn") return op;
    const { compare, success, failure } = op.txn;
    return { type: "txn", txn: { compare, success: withoutDeletes(success), failure: withoutDeletes(failure) } };
  });
}

/** Both answers without what may differ. Refusals are never touched. */
export function adjust(step: Step, upstream: Plain, ours: Plain): readonly [Plain, Plain] {
  if (step.kind !== "unary") return [upstream, ours];
  const rules = ALLOWED.filter((rule) => rule.applies(step));
  const apply = (answer: Plain): Plain =>
    isFields(answer) && !("error" in answer) ? rules.reduce((a, rule) => rule.hide(a, step.request), answer) : answer;
  const texts = [upstream, ours].map((answer) => (isFields(answer) ? answer["text"] : undefined));
  if (asks(KV.method.txn)(step) && texts.every((text) => ANY_OF_THESE_IN_TXN.has(text))) return [ours, ours];
  // Upstream keeps the hashes of its last ten compactions and answers with them although that revision is gone.
  if (asks(Maintenance.method.hashKV)(step) && texts[1] === COMPACTED && texts[0] === undefined) return [ours, ours];
  return [apply(upstream), apply(ours)];
}

function isFields(answer: Plain): answer is Fields {
  return typeof answer === "object" && !Array.isArray(answer);
}
