import { Socket } from "node:net";
import type { EtcdClient } from "@keelson/etcd-client";
import { formatErrorChain } from "@keelson/types";
import type { Check, Verdict } from "./gate.ts";

const CALL_MS = 4_000;
const PROBE_MS = 2_000;
const UNUSED_MS = 30_000;

/** A member as the list has it. */
export interface ListedMember {
  readonly id: string;
  /** Empty as long as it has not started. */
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

/** What is asked of the member on this machine. Each call has its own bound and rejects when it gets no answer. */
export interface MemberProbe {
  /** The id of the member that answers, without consensus. */
  ownId(signal: AbortSignal): Promise<string>;
  /** The list as this member has it, without consensus. */
  members(signal: AbortSignal): Promise<readonly ListedMember[]>;
  /** A linearizable read through this member. */
  read(signal: AbortSignal): Promise<void>;
  /** Whether anything answers at another member's address: `silent` is a machine that is off, `no-network` is our fault. */
  reach(member: ListedMember, signal: AbortSignal): Promise<"answers" | "silent" | "no-network">;
}

/**
 * Is this machine's etcd member well? It answers, is in the list, has started, and a linearizable read passes through it.
 *
 * A read needs the others as well. When so many of them are silent that no majority could form with this member in it,
 * that is their fault and passes: taking this machine back to the old version would not raise the dead, it would only
 * keep it away longer. But if this machine has no network, or if a majority could be had and there is none, then it is
 * this machine that is new here, and it is red.
 */
export function etcdCheck(
  probe: MemberProbe,
  findings: { isMajorityAway: boolean } = { isMajorityAway: false },
): Check {
  return {
    name: "etcd",
    isRequired: true,
    look: async (signal) => {
      findings.isMajorityAway = false;
      const [id, members] = await Promise.all([probe.ownId(signal), probe.members(signal)]);
      const self = members.find((m) => m.id === id);
      if (self === undefined) return { outcome: "failed", detail: `member ${id} is not in the list of its cluster` };
      if (self.name === "") return { outcome: "failed", detail: `member ${id} has not started` };
      let why: string;
      try {
        await probe.read(signal);
        return { outcome: "passed", detail: "" };
      } catch (error) {
        why = formatErrorChain(error);
      }
      const others = members.filter((m) => m.id !== id && !m.isLearner);
      const reached = await Promise.all(others.map((m) => probe.reach(m, signal)));
      const verdict = judgeMajority(reached, self.isLearner, why);
      findings.isMajorityAway = verdict.outcome === "passed";
      return verdict;
    },
  };
}

/** Whose fault it is that there is no majority. `reached`: the other voters. */
export function judgeMajority(
  reached: readonly ("answers" | "silent" | "no-network")[],
  isLearner: boolean,
  why: string,
): Verdict {
  const voters = reached.length + (isLearner ? 0 : 1);
  const answering = reached.filter((r) => r === "answers").length + (isLearner ? 0 : 1);
  const majority = Math.floor(voters / 2) + 1;
  if (answering >= majority) {
    return { outcome: "failed", detail: `no read passes although ${answering} of ${voters} members answer: ${why}` };
  }
  if (reached.length > 0 && reached.every((r) => r === "no-network")) {
    return { outcome: "failed", detail: "this machine has no network to the other members" };
  }
  return {
    outcome: "passed",
    detail: `only ${answering} of ${voters} members are up; that is not this machine's fault`,
  };
}

/** Whether a TCP connection to a URL's host gets any answer: a refusal is one. */
export function reachTcp(url: string, signal: AbortSignal): Promise<"answers" | "silent" | "no-network"> {
  const target = URL.parse(url);
  if (target === null) return Promise.resolve("silent");
  return new Promise((resolve) => {
    const socket = new Socket();
    const finish = (outcome: "answers" | "silent" | "no-network") => {
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      resolve(outcome);
    };
    const onAbort = () => finish("silent");
    signal.addEventListener("abort", onAbort, { once: true });
    socket.setTimeout(PROBE_MS, () => finish("silent"));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED" || error.code === "ECONNRESET") finish("answers");
      else finish(error.code === "ENETUNREACH" || error.code === "EADDRNOTAVAIL" ? "no-network" : "silent");
    });
    const port = target.port === "" ? (target.protocol === "https:" ? 443 : 80) : Number(target.port);
    socket.connect(port, target.hostname.replace(/^\[|\]$/g, ""), () => finish("answers"));
  });
}

/** {@link MemberProbe} on a real etcd, whose client library is loaded when it is first asked. */
export function etcdProbe(endpoint: string): MemberProbe {
  const opened = open(endpoint);
  const limits = (signal: AbortSignal) => ({ timeoutMs: CALL_MS, signal });
  return {
    ownId: async (signal) => (await (await opened()).cluster.status(endpoint, limits(signal))).memberId.toString(16),
    members: async (signal) => {
      const list = await (await opened()).cluster.memberList({ ...limits(signal), linearizable: false });
      return list.map(({ id, name, clientUrls, isLearner }) => ({ id: id.toString(16), name, clientUrls, isLearner }));
    },
    read: async (signal) => {
      const { healthy, error } = await (await opened()).cluster.health(endpoint, limits(signal));
      if (!healthy) throw error ?? new Error("no answer");
    },
    reach: async ({ clientUrls }, signal) => {
      const outcomes = await Promise.all(clientUrls.map((url) => reachTcp(url, signal)));
      return outcomes.find((o) => o === "answers") ?? outcomes.find((o) => o === "no-network") ?? "silent";
    },
  };
}

/** One connection for the looks of a gate; it is closed when nobody looks any more. */
function open(endpoint: string) {
  let client: Promise<EtcdClient> | undefined;
  let timer: NodeJS.Timeout | undefined;
  const close = () => {
    void client?.then((c) => c.close());
    client = undefined;
  };
  return () => {
    clearTimeout(timer);
    timer = setTimeout(close, UNUSED_MS).unref();
    client ??= import("@keelson/etcd-client").then((etcd) => new etcd.EtcdClient({ endpoints: [endpoint] }));
    return client;
  };
}
