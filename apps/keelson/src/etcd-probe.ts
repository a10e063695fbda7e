import type { MachineInfo } from "@keelson/cluster";
import { EtcdClient } from "@keelson/etcd-client";

/** How long a member may take to say how it is. */
const PROBE_TIMEOUT_MS = 1_500;

export interface EtcdProbe {
  readonly answers: boolean;
  readonly hasLeader: boolean;
  /** `leader`, `follower`, `learner`, `no leader`, or `down`; `-` when the machine does not run. */
  readonly role: string;
  readonly raftTerm: number;
  readonly raftIndex: number;
}

const DOWN: EtcdProbe = { answers: false, hasLeader: false, role: "down", raftTerm: 0, raftIndex: 0 };

/** One client a member, kept for as long as the program runs. */
const clients = new Map<string, EtcdClient>();

function clientOf(url: string): EtcdClient {
  const known = clients.get(url);
  if (known !== undefined) return known;
  const client = new EtcdClient({
    endpoints: [url],
    dialTimeoutMs: PROBE_TIMEOUT_MS,
    requestTimeoutMs: PROBE_TIMEOUT_MS,
  });
  clients.set(url, client);
  return client;
}

/** Asks one member for its status; never throws. */
export async function probeEtcd(machine: MachineInfo): Promise<EtcdProbe> {
  if (machine.state !== "running") return { ...DOWN, role: "-" };
  try {
    const status = await clientOf(machine.etcdUrl).cluster.status(machine.etcdUrl, { timeoutMs: PROBE_TIMEOUT_MS });
    const hasLeader = status.leader !== 0n;
    const role = !hasLeader
      ? "no leader"
      : status.leader === status.memberId
        ? "leader"
        : status.isLearner
          ? "learner"
          : "follower";
    return { answers: true, hasLeader, role, raftTerm: status.raftTerm, raftIndex: status.raftIndex };
  } catch {
    return DOWN;
  }
}

/** Ends the connections, so that the process can end. */
export function closeProbes(): void {
  const open = [...clients.values()];
  clients.clear();
  for (const client of open) client.close();
}
