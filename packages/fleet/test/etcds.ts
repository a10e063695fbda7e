import { Etcd } from "@keelson/etcd";
import { startUpstreamEtcd, tempDir, upstreamEtcdServer } from "@keelson/testkit";

/** A single etcd member on loopback. */
export interface TestEtcd extends AsyncDisposable {
  readonly endpoint: string;
}

const upstream = await upstreamEtcdServer("3.5");

/** Why there is no Debian etcd here; undefined when there is one. */
export const upstreamMissing: string | undefined = upstream.ok ? undefined : upstream.reason;

/** The etcds that fleet is tested against. */
export function etcds(): {
  readonly name: string;
  readonly start: () => Promise<TestEtcd>;
  readonly missing?: string;
}[] {
  return [
    { name: "our etcd", start: startOurs },
    {
      name: "Debian's etcd 3.5",
      start: startUpstream,
      ...(upstreamMissing === undefined ? {} : { missing: upstreamMissing }),
    },
  ];
}

async function startOurs(): Promise<TestEtcd> {
  const dir = await tempDir("fleet-etcd");
  const etcd = await Etcd.start({ dataDir: dir.join("data") });
  return {
    endpoint: etcd.clientUrls[0] ?? "",
    async [Symbol.asyncDispose]() {
      await etcd[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}

async function startUpstream(): Promise<TestEtcd> {
  const etcd = await startUpstreamEtcd({ version: "3.5", members: 1 });
  return { endpoint: etcd.endpoints[0] ?? "", [Symbol.asyncDispose]: () => etcd[Symbol.asyncDispose]() };
}
