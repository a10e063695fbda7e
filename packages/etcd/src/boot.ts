import {
  type ConfState,
  decodeEntry,
  decodeHardState,
  EMPTY_CONF_STATE,
  EMPTY_HARD_STATE,
  type Entry,
  encodeConfState,
  encodeHardState,
  type HardState,
} from "@keelson/raft";
import { deleteRangeInParts, type KvStore, type WriteOp } from "@keelson/storage";
import type { ClusterId, MemberId } from "@keelson/types";
import { AppliedStore } from "./applied-store.ts";
import type { RemoteCluster, ServerConfig } from "./config.ts";
import { ConfigError, DataDirError } from "./core/errors.ts";
import { generationPrefix, idKey, join, KIND, kindKey, logKey, META, text } from "./core/keys.ts";
import type { MemberInfo } from "./core/membership.ts";
import { decodePosition, encodeMember, encodePosition, type LogPosition } from "./core/records.ts";
import type { StateMachine } from "./core/state-machine.ts";
import { clusterIdOf, memberIdOf } from "./ids.ts";
import { loadState } from "./state-loader.ts";

/** The layout in keys.ts. A store of another number is refused. */
const FORMAT = 1;
/** The position a new cluster starts at: all first members write the same state for it, so the log need not say it. */
const GENESIS: LogPosition = { index: 1, term: 1 };

/** Who this member is; written once, with the first batch. */
export interface Identity {
  readonly format: number;
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly name: string;
  readonly token: string;
  /** How a member that joined reaches the others until it has received the state. */
  readonly bootstrapPeers: readonly { readonly id: MemberId; readonly peerUrls: readonly string[] }[];
}

/** What the store of a member held. */
export interface LoadedMember {
  readonly identity: Identity;
  readonly hardState: HardState;
  readonly offset: LogPosition;
  readonly entries: readonly Entry[];
  readonly applied: AppliedStore;
  readonly state: StateMachine;
  /** Whether the store was empty before. */
  readonly created: boolean;
}

/**
 * Loads a member from its store, or makes a new one in an empty store.
 * @param remote the cluster to join, for `initialClusterState: "existing"` and an empty store
 * @throws DataDirError @throws ConfigError when nothing was changed
 */
export async function loadMember(
  store: KvStore,
  config: ServerConfig,
  remote: () => Promise<RemoteCluster>,
): Promise<LoadedMember> {
  const stored = store.get(META.identity);
  if (stored === undefined) {
    await requireEmpty(store);
    if (config.initialClusterState === "new") await writeGenesis(store, config);
    else await writeJoiner(store, config, await remote());
  }
  const identity = readIdentity(store.get(META.identity) as Uint8Array);
  checkIdentity(identity, config);
  const generation = readGeneration(store);
  // A snapshot that was not installed, or the state that one has replaced.
  await deleteRangeInParts(store, { gte: generationPrefix(0), lt: generationPrefix(generation) }, { sync: false });
  await deleteRangeInParts(store, { gte: generationPrefix(generation + 1), lt: text("b") }, { sync: false });
  const applied = new AppliedStore(store, generation);
  const state = await loadState(store, applied, identity);
  const log = await loadLog(store, state.applied);
  return { identity, applied, state, ...log, created: stored === undefined };
}

async function requireEmpty(store: KvStore): Promise<void> {
  for await (const chunk of store.scan({ limit: 1 })) {
    const key = chunk[0]?.[0];
    if (key === undefined) return;
    throw new DataDirError(
      "the store holds records but no identity (key midentity): it is not an etcd member's, or damaged; use an empty data directory",
      { firstKey: Buffer.from(key).toString("hex") },
    );
  }
}

async function writeGenesis(store: KvStore, config: ServerConfig): Promise<void> {
  const members: MemberInfo[] = [...config.initialCluster].map(([name, peerUrls]) => ({
    id: memberIdOf(peerUrls, config.initialClusterToken),
    name,
    peerUrls: [...peerUrls],
    clientUrls: [], // told by the member itself once it runs
    isLearner: false,
  }));
  const own = config.initialCluster.get(config.name);
  if (own === undefined) {
    throw new ConfigError(`couldn't find local name "${config.name}" in the initial cluster configuration`, {
      names: [...config.initialCluster.keys()],
    });
  }
  const ids = members.map((m) => m.id);
  if (new Set(ids).size !== ids.length) {
    throw new ConfigError("two members of the initial cluster have the same peer URLs", {});
  }
  const confState: ConfState = { ...EMPTY_CONF_STATE, voters: ids.toSorted((a, b) => (a < b ? -1 : 1)) };
  const identity: Identity = {
    format: FORMAT,
    clusterId: clusterIdOf(ids),
    memberId: memberIdOf(own, config.initialClusterToken),
    name: config.name,
    token: config.initialClusterToken,
    bootstrapPeers: [],
  };
  const hardState: HardState = { term: GENESIS.term, vote: 0n, commit: GENESIS.index };
  const memberOps = members.map((m): WriteOp => put(idKey(KIND.member, m.id), encodeMember(m)));
  await writeFirst(store, identity, hardState, GENESIS, confState, memberOps);
}

async function writeJoiner(store: KvStore, config: ServerConfig, remote: RemoteCluster): Promise<void> {
  const own = config.advertisePeerUrls.toSorted().join(",");
  const me = remote.members.find((m) => m.peerUrls.toSorted().join(",") === own);
  if (me === undefined) {
    throw new ConfigError(
      `the cluster has no member with the peer URLs ${own}: add it first (etcdctl member add), or use --initial-cluster-state new for a new cluster`,
      {},
    );
  }
  const identity: Identity = {
    format: FORMAT,
    clusterId: remote.clusterId,
    memberId: me.id,
    name: config.name,
    token: config.initialClusterToken,
    bootstrapPeers: remote.members.map(({ id, peerUrls }) => ({ id, peerUrls })),
  };
  await writeFirst(store, identity, EMPTY_HARD_STATE, { index: 0, term: 0 }, EMPTY_CONF_STATE, []);
}

async function writeFirst(
  store: KvStore,
  identity: Identity,
  hardState: HardState,
  at: LogPosition,
  confState: ConfState,
  state: readonly WriteOp[],
): Promise<void> {
  const prefix = generationPrefix(1);
  await store.write(
    [
      { type: "put", key: META.identity, value: writeIdentity(identity) },
      { type: "put", key: META.generation, value: text("1") },
      { type: "put", key: META.hardState, value: encodeHardState(hardState) },
      { type: "put", key: META.logOffset, value: encodePosition(at) },
      ...[
        put(kindKey(KIND.applied), encodePosition(at)),
        put(kindKey(KIND.confState), encodeConfState(confState)),
        ...state,
      ].map((op): WriteOp => (op.type === "put" ? { ...op, key: join(prefix, op.key) } : op)),
    ],
    { sync: true },
  );
}

function put(key: Uint8Array, value: Uint8Array): WriteOp {
  return { type: "put", key, value };
}

function writeIdentity(identity: Identity): Uint8Array {
  const plain = JSON.stringify(identity, (_key, value: unknown) =>
    typeof value === "bigint" ? value.toString(16) : value,
  );
  return new TextEncoder().encode(plain);
}

function readIdentity(bytes: Uint8Array): Identity {
  try {
    const raw = JSON.parse(new TextDecoder().decode(bytes)) as Record<keyof Identity, never>;
    const id = (hex: unknown) => BigInt(`0x${String(hex)}`);
    const peers = raw.bootstrapPeers as { id: string; peerUrls: string[] }[];
    return {
      format: raw.format,
      clusterId: id(raw.clusterId),
      memberId: id(raw.memberId),
      name: raw.name,
      token: raw.token,
      bootstrapPeers: peers.map((p) => ({ id: id(p.id), peerUrls: p.peerUrls })),
    };
  } catch (cause) {
    throw new DataDirError(
      "the member's identity (key midentity) cannot be read: restore the data directory",
      {},
      { cause },
    );
  }
}

function checkIdentity(identity: Identity, config: ServerConfig): void {
  if (identity.format !== FORMAT) {
    throw new DataDirError(
      `the data directory has format ${identity.format}, this version knows format ${FORMAT}: use the version that wrote it`,
      {},
    );
  }
  if (identity.name !== config.name) {
    throw new DataDirError(
      `the data directory belongs to member "${identity.name}", not "${config.name}": check --name and --data-dir`,
      { member: identity.memberId },
    );
  }
  if (identity.token !== config.initialClusterToken) {
    throw new DataDirError(
      `the data directory belongs to a cluster with token "${identity.token}", not "${config.initialClusterToken}": check --initial-cluster-token and --data-dir`,
      { cluster: identity.clusterId },
    );
  }
}

function readGeneration(store: KvStore): number {
  const bytes = store.get(META.generation);
  const generation = bytes === undefined ? Number.NaN : Number(new TextDecoder().decode(bytes));
  if (!Number.isSafeInteger(generation) || generation < 1) {
    throw new DataDirError(
      "the number of the current state (key mgeneration) cannot be read: restore the data directory",
    );
  }
  return generation;
}

/** Bytes that say which generation is current. */
export function generationRecord(generation: number): WriteOp {
  return { type: "put", key: META.generation, value: text(String(generation)) };
}

async function loadLog(
  store: KvStore,
  applied: LogPosition,
): Promise<{ hardState: HardState; offset: LogPosition; entries: readonly Entry[] }> {
  const hardState = readRecord(store, META.hardState, "mhardstate", decodeHardState);
  const offset = readRecord(store, META.logOffset, "mlogoffset", (b) => decodePosition(b, "the log's offset"));
  const entries: Entry[] = [];
  for await (const chunk of store.scan({ gte: logKey(0), lt: text("m") })) {
    for (const [key, value] of chunk) {
      const expected = offset.index + entries.length + 1;
      const entry = decodeLogEntry(key, value);
      if (entry.index !== expected) {
        throw new DataDirError(
          `raft log entry ${expected} is missing (found ${entry.index}): remove this member from the cluster and add it again with an empty data directory`,
          { expected, found: entry.index },
        );
      }
      entries.push(entry);
    }
  }
  const lastIndex = offset.index + entries.length;
  if (hardState.commit > lastIndex || applied.index > hardState.commit || applied.index < offset.index) {
    throw new DataDirError(
      `the raft log (entries ${offset.index + 1} to ${lastIndex}), its commit index ${hardState.commit} and the applied state (${applied.index}) do not fit together: remove this member from the cluster and add it again with an empty data directory`,
      { lastIndex, commit: hardState.commit, applied: applied.index },
    );
  }
  return { hardState, offset, entries };
}

function decodeLogEntry(key: Uint8Array, value: Uint8Array): Entry {
  try {
    return decodeEntry(value);
  } catch (cause) {
    const name = Buffer.from(key).toString("hex");
    throw new DataDirError(`a raft log entry (key ${name}) cannot be decoded`, { key: name }, { cause });
  }
}

function readRecord<T>(store: KvStore, key: Uint8Array, name: string, decode: (bytes: Uint8Array) => T): T {
  const bytes = store.get(key);
  if (bytes === undefined)
    throw new DataDirError(`the record ${name} is missing: restore the data directory`, { name });
  try {
    return decode(bytes);
  } catch (cause) {
    throw new DataDirError(`the record ${name} cannot be decoded: restore the data directory`, { name }, { cause });
  }
}
