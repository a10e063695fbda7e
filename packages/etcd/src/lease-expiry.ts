import type { MessageInitShape } from "@bufbuild/protobuf";
import type { InternalRaftRequestSchema } from "@keelson/proto";
import type { RawNode } from "@keelson/raft";
import type { Logger } from "@keelson/types";
import type { Lessor } from "./core/lessor.ts";
import type { Proposals } from "./proposals.ts";

const REVOKED_PER_TICK = 50;
const CHECKPOINTS_PER_TICK = 500;

interface Deps {
  readonly node: RawNode;
  readonly proposals: Proposals;
  readonly logger: Logger;
  readonly nowMs: () => number;
  readonly timeoutMs: number;
}

/**
 * Proposes the revocation of leases whose time is over, and checkpoints of long ones. To be called within the driver's loop.
 *
 * Only as the leader, in the term that the lessor was promoted in, and straight into this leader's own log: then the entry
 * gets this term or is not made at all. It is never forwarded, so that a deposed leader can expire nothing.
 */
export function expireLeases(lessor: Lessor, appliedTerm: number, deps: Deps): void {
  const { raftState, term } = deps.node.basicStatus();
  if (raftState !== "StateLeader" || !lessor.primary || term !== appliedTerm) return;
  const now = deps.nowMs();
  for (const id of lessor.takeExpired(now, REVOKED_PER_TICK)) {
    propose({ leaseRevoke: { ID: id } }, deps, () => lessor.retry(id, deps.nowMs()));
  }
  const checkpoints = lessor.takeCheckpoints(now, CHECKPOINTS_PER_TICK);
  if (checkpoints.length === 0) return;
  const list = checkpoints.map((c) => ({ ID: c.id, remainingTTL: BigInt(c.remainingS) }));
  propose({ leaseCheckpoint: { checkpoints: list } }, deps, () => undefined);
}

function propose(request: MessageInitShape<typeof InternalRaftRequestSchema>, deps: Deps, lost: () => void): void {
  const done = deps.proposals.proposeNow(request, deps.nowMs() + deps.timeoutMs, deps.node);
  if (done === undefined) return lost();
  done.then(({ error }) => {
    if (error !== undefined) deps.logger.debug("internal request refused", { error });
  }, lost);
}
