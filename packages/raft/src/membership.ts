import { type ConfChangeV2, planOf } from "./conf-change.ts";
import { sameConfState } from "./conf-state.ts";
import { Changer, type ChangerLimits, type Membership } from "./confchange/changer.ts";
import { restore } from "./confchange/restore.ts";
import { broken } from "./errors.ts";
import type { Raft } from "./raft.ts";
import { broadcastAppend, maybeCommit, maybeSendAppend } from "./replication.ts";
import { describeConfig } from "./tracker/tracker.ts";
import { type ConfState, NONE } from "./types.ts";

/** Carries out a committed membership change. @throws ConfChangeError when it is not legal; nothing was changed then */
export function applyConfChange(r: Raft, cc: ConfChangeV2): ConfState {
  const changer = new Changer({ config: r.tracker.config, progress: r.tracker.progress }, limitsOf(r));
  return switchTo(r, nextMembership(changer, cc));
}

function nextMembership(changer: Changer, cc: ConfChangeV2): Membership {
  switch (planOf(cc)) {
    case "leave-joint":
      return changer.leaveJoint();
    case "enter-joint":
      return changer.enterJoint(false, cc.changes);
    case "enter-joint-autoleave":
      return changer.enterJoint(true, cc.changes);
    case "simple":
      return changer.simple(cc.changes);
  }
}

/**
 * Takes over the membership of a snapshot or of stable storage, with fresh progress for everyone.
 * @param resetLog brings the log to where the membership holds; runs once it is known to be legal
 * @throws ConfChangeError when it is not; nothing was changed then
 */
export function restoreMembership(r: Raft, cs: ConfState, lastIndex: number, resetLog: () => void): void {
  const tracker = r.newTracker();
  const membership = restore(cs, { ...limitsOf(r), lastIndex });
  resetLog();
  r.tracker = tracker;
  const active = switchTo(r, membership);
  if (!sameConfState(cs, active)) broken("ConfStates not equivalent after sorting");
}

function limitsOf(r: Raft): ChangerLimits {
  const { maxInflight, maxInflightBytes } = r.tracker;
  return { lastIndex: r.log.lastIndex(), maxInflight, maxInflightBytes };
}

/** Makes a membership active and, on a leader, acts on what follows from it. */
function switchTo(r: Raft, { config, progress }: Membership): ConfState {
  r.tracker.switchTo(config, progress);
  r.logger.info(`${r.name} switched to configuration ${describeConfig(config)}`);
  const cs = r.tracker.confState();
  const own = progress.get(r.id);
  r.isLearner = own?.isLearner === true;
  if (r.state !== "StateLeader") return cs;
  if (own === undefined || own.isLearner) {
    // Removed or demoted. Without `stepDownOnRemoval` it leads on, without a vote, until someone else campaigns.
    if (r.config.stepDownOnRemoval) r.becomeFollower(r.term, NONE);
    return cs;
  }
  if (cs.voters.length === 0) return cs;
  if (maybeCommit(r)) {
    // A smaller quorum can commit more.
    broadcastAppend(r);
  } else {
    // Let new members not wait for the next heartbeat.
    r.tracker.visit((id, pr) => {
      if (id !== r.id) maybeSendAppend(r, id, pr, false);
    });
  }
  const { leadTransferee } = r;
  if (leadTransferee !== NONE && !config.voters[0].has(leadTransferee) && !config.voters[1].has(leadTransferee)) {
    r.abortLeaderTransfer();
  }
  return cs;
}
