import type { MemberId } from "@keelson/types";
import type { ConfChangeSingle, ConfChangeType } from "../conf-change.ts";
import type { ConfState } from "../types.ts";
import { Changer, type ChangerLimits, EMPTY_MEMBERSHIP, type Membership } from "./changer.ts";

/**
 * Rebuilds the membership that a {@link ConfState} describes by running changes that lead to it, so that it is as well
 * checked as any other. A joint one is reached by first building its outgoing half.
 * @throws ConfChangeError when no sequence of legal changes leads there
 */
export function restore(cs: ConfState, limits: ChangerLimits): Membership {
  const incoming = [
    ...all("ConfChangeRemoveNode", cs.votersOutgoing),
    ...all("ConfChangeAddNode", cs.voters),
    ...all("ConfChangeAddLearnerNode", cs.learners),
    // Still voters of the outgoing half, so that these end up staged as learners.
    ...all("ConfChangeAddLearnerNode", cs.learnersNext),
  ];
  const joint = cs.votersOutgoing.length > 0;
  let m = EMPTY_MEMBERSHIP;
  for (const change of joint ? all("ConfChangeAddNode", cs.votersOutgoing) : incoming) {
    m = new Changer(m, limits).simple([change]);
  }
  return joint ? new Changer(m, limits).enterJoint(cs.autoLeave, incoming) : m;
}

function all(type: ConfChangeType, ids: readonly MemberId[]): ConfChangeSingle[] {
  return ids.map((nodeId) => ({ type, nodeId }));
}
