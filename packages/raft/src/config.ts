import type { MemberId, Random } from "@keelson/types";
import { RaftConfigError } from "./errors.ts";
import type { RaftLogger } from "./logger.ts";
import type { RaftStorage } from "./storage.ts";
import { isLocalTarget, NONE, type ReadOnlyOption } from "./types.ts";

/** How a {@link RawNode} runs. Sizes are bytes, times are ticks; infinity stands for no limit. */
export interface RaftConfig {
  /** This node. Not 0. */
  readonly id: MemberId;
  /** A follower campaigns after 1 to 2 times this many ticks without a leader. More than `heartbeatTick`; ten times is good. */
  readonly electionTick: number;
  readonly heartbeatTick: number;
  readonly storage: RaftStorage;
  /** Spreads election timeouts. */
  readonly random: Random;
  readonly logger?: RaftLogger;
  /** The last index the application applied before a restart, so that it is not handed those entries again. Default 0. */
  readonly applied?: number;
  /** Storage work goes out as MsgStorageAppend and MsgStorageApply with responses; `advance` is not used. Default false. */
  readonly asyncStorageWrites?: boolean;
  /** Entries per append message. 0: one entry each. Default 1 MiB. */
  readonly maxSizePerMsg?: number;
  /** Committed entries handed out and not yet applied. Default (and for 0): `maxSizePerMsg`. */
  readonly maxCommittedSizePerReady?: number;
  /** Payload of entries that are in the leader's log and not applied; more is refused. Default (and for 0): no limit. */
  readonly maxUncommittedEntriesSize?: number;
  /** Appends on their way to one follower. Default 512. */
  readonly maxInflightMsgs?: number;
  /** Payload on its way to one follower; at least `maxSizePerMsg`. Default (and for 0): no limit. */
  readonly maxInflightBytes?: number;
  /** A leader that does not hear from a quorum for an election timeout steps down; votes are refused under a live leader. */
  readonly checkQuorum?: boolean;
  /** Ask for votes without a new term first, so that a node that was cut off disturbs nobody (thesis 9.6). */
  readonly preVote?: boolean;
  /** Default `safe`. `lease-based` needs `checkQuorum`. */
  readonly readOnlyOption?: ReadOnlyOption;
  /** Followers drop proposals instead of passing them to the leader. */
  readonly disableProposalForwarding?: boolean;
  /** Membership changes enter the log unchecked. An illegal one then fails at `applyConfChange`. */
  readonly disableConfChangeValidation?: boolean;
  /** A leader that is removed or demoted becomes a follower at once. */
  readonly stepDownOnRemoval?: boolean;
}

/** A {@link RaftConfig} with all defaults filled in. */
export type ResolvedConfig = Required<RaftConfig>;

const quiet: RaftLogger = { debug() {}, info() {}, warn() {}, error() {} };

/** Checks a configuration and fills in the defaults. @throws RaftConfigError */
export function resolveConfig(c: RaftConfig): ResolvedConfig {
  const maxSizePerMsg = c.maxSizePerMsg ?? 1024 * 1024;
  const resolved: ResolvedConfig = {
    id: c.id,
    electionTick: c.electionTick,
    heartbeatTick: c.heartbeatTick,
    storage: c.storage,
    random: c.random,
    logger: c.logger ?? quiet,
    applied: c.applied ?? 0,
    asyncStorageWrites: c.asyncStorageWrites ?? false,
    maxSizePerMsg,
    maxCommittedSizePerReady: orUnlimited(orDefault(c.maxCommittedSizePerReady, maxSizePerMsg)),
    maxUncommittedEntriesSize: orUnlimited(c.maxUncommittedEntriesSize),
    maxInflightMsgs: c.maxInflightMsgs ?? 512,
    maxInflightBytes: orUnlimited(c.maxInflightBytes),
    checkQuorum: c.checkQuorum ?? false,
    preVote: c.preVote ?? false,
    readOnlyOption: c.readOnlyOption ?? "safe",
    disableProposalForwarding: c.disableProposalForwarding ?? false,
    disableConfChangeValidation: c.disableConfChangeValidation ?? false,
    stepDownOnRemoval: c.stepDownOnRemoval ?? false,
  };
  validate(resolved);
  return resolved;
}

function validate(c: ResolvedConfig): void {
  refuseIf(c.id === NONE, "cannot use none as id");
  refuseIf(c.id < 0n || c.id >= 2n ** 64n, "id must be an unsigned 64-bit integer");
  refuseIf(isLocalTarget(c.id), "cannot use local target as id");
  refuseIf(!(c.heartbeatTick > 0), "heartbeat tick must be greater than 0");
  refuseIf(!(c.electionTick > c.heartbeatTick), "election tick must be greater than heartbeat tick");
  refuseIf(!Number.isSafeInteger(c.electionTick), "election tick must be an integer");
  refuseIf(!Number.isSafeInteger(c.heartbeatTick), "heartbeat tick must be an integer");
  refuseIf(!Number.isSafeInteger(c.applied) || c.applied < 0, "applied must be a log index");
  refuseIf(!(c.maxSizePerMsg >= 0), "max size per message must not be negative");
  refuseIf(!(c.maxCommittedSizePerReady >= 0), "max committed size per ready must not be negative");
  refuseIf(!(c.maxUncommittedEntriesSize >= 0), "max uncommitted entries size must not be negative");
  refuseIf(!(c.maxInflightMsgs > 0), "max inflight messages must be greater than 0");
  refuseIf(!Number.isInteger(c.maxInflightMsgs), "max inflight messages must be an integer");
  refuseIf(!(c.maxInflightBytes >= c.maxSizePerMsg), "max inflight bytes must be >= max message size");
  refuseIf(
    c.readOnlyOption === "lease-based" && !c.checkQuorum,
    "CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased",
  );
}

function refuseIf(condition: boolean, why: string): void {
  if (condition) throw new RaftConfigError(why);
}

function orDefault(n: number | undefined, fallback: number): number {
  return n === undefined || n === 0 ? fallback : n;
}

function orUnlimited(n: number | undefined): number {
  return orDefault(n, Number.POSITIVE_INFINITY);
}
