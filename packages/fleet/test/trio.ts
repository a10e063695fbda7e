import { Etcd } from "@keelson/etcd";
import { freePort, type ProcessHandle, startProcess, type TempDir } from "@keelson/testkit";
import { UPSTREAM } from "./etcds.ts";

/** A cluster of three etcd members whose members can be ended and started again on their data. */
export interface Trio extends AsyncDisposable {
  readonly endpoints: readonly string[];
  stop(index: number): Promise<void>;
  start(index: number): Promise<void>;
}

interface Member {
  readonly name: string;
  readonly client: string;
  readonly peer: string;
  readonly dataDir: string;
}

/** Starts three members of our etcd in this process, or of upstream's as processes. */
export async function startTrio(kind: "ours" | "upstream", dir: TempDir): Promise<Trio> {
  const url = async () => `http://127.0.0.1:${await freePort()}`;
  const members: Member[] = [];
  for (const name of ["e1", "e2", "e3"]) {
    members.push({ name, client: await url(), peer: await url(), dataDir: dir.join(`${kind}-${name}`) });
  }
  const initialCluster = members.map(({ name, peer }) => `${name}=${peer}`).join(",");
  const running = new Map<number, AsyncDisposable>();
  const launch = kind === "ours" ? launchOurs : launchUpstream;
  const start = async (index: number) => {
    const member = members[index];
    if (member !== undefined) running.set(index, await launch(member, initialCluster));
  };
  const stop = async (index: number) => {
    await running.get(index)?.[Symbol.asyncDispose]();
    running.delete(index);
  };
  await Promise.all([0, 1, 2].map(start));
  return {
    endpoints: members.map(({ client }) => client),
    start,
    stop,
    async [Symbol.asyncDispose]() {
      await Promise.all([0, 1, 2].map(stop));
    },
  };
}

function launchOurs({ name, client, peer, dataDir }: Member, initialCluster: string): Promise<Etcd> {
  return Etcd.start({ name, dataDir, listenClientUrls: [client], listenPeerUrls: [peer], initialCluster });
}

async function launchUpstream({ name, client, peer, dataDir }: Member, cluster: string): Promise<ProcessHandle> {
  const child = startProcess(UPSTREAM, [
    `--name=${name}`,
    `--data-dir=${dataDir}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=${cluster}`,
    "--log-level=warn",
  ]);
  await child.waitForPort(Number(new URL(client).port));
  return child;
}
