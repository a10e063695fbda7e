import { Etcd } from "@keelson/etcd";
import { freePort, startUpstreamEtcd, type TempDir } from "@keelson/testkit";

/** A cluster of three etcd members whose members can be ended and started again on their data. */
export interface Trio extends AsyncDisposable {
  readonly endpoints: readonly string[];
  stop(index: number): Promise<void>;
  start(index: number): Promise<void>;
}

/** Starts three members of our etcd in this process, or of Debian's as processes. */
export function startTrio(kind: "ours" | "upstream", dir: TempDir): Promise<Trio> {
  return kind === "ours" ? startOurs(dir) : startUpstream();
}

async function startUpstream(): Promise<Trio> {
  const etcd = await startUpstreamEtcd({ version: "3.5", members: 3 });
  return {
    endpoints: etcd.endpoints,
    stop: async (index) => await etcd.members[index]?.kill(),
    start: async (index) => await etcd.members[index]?.restart(),
    [Symbol.asyncDispose]: () => etcd[Symbol.asyncDispose](),
  };
}

async function startOurs(dir: TempDir): Promise<Trio> {
  const url = async () => `http://127.0.0.1:${await freePort()}`;
  const members: { name: string; client: string; peer: string }[] = [];
  for (const name of ["e1", "e2", "e3"]) members.push({ name, client: await url(), peer: await url() });
  const initialCluster = members.map(({ name, peer }) => `${name}=${peer}`).join(",");
  const running = new Map<number, Etcd>();
  const start = async (index: number) => {
    const member = members[index];
    if (member === undefined) return;
    const { name, client, peer } = member;
    const urls = { listenClientUrls: [client], listenPeerUrls: [peer] };
    running.set(index, await Etcd.start({ name, dataDir: dir.join(name), initialCluster, ...urls }));
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
