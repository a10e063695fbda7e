import { Etcd } from "@keelson/etcd";
import { startUpstreamEtcd, tempDir, upstreamEtcdServer } from "@keelson/testkit";

/** Etcd on loopback. */
export interface TestEtcd extends AsyncDisposable {
  readonly endpoints: readonly string[];
}

const upstream = await upstreamEtcdServer("3.5");
if (!upstream.ok) process.stdout.write(`skipped: tests against Debian's etcd: ${upstream.reason}\n`);

/** Why there is no Debian etcd here; undefined when there is one. */
export const upstreamMissing: string | undefined = upstream.ok ? undefined : upstream.reason;

/** One member of ours, in this process. */
export async function startOurs(): Promise<TestEtcd> {
  const dir = await tempDir("locksmith-etcd");
  const etcd = await Etcd.start({ dataDir: dir.join("data") });
  await etcd.ready;
  return {
    endpoints: [etcd.clientUrls[0] ?? ""],
    async [Symbol.asyncDispose]() {
      await etcd[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}

/** The etcds that locksmith is tested against: one member each. */
export const ETCDS: readonly {
  readonly name: string;
  readonly missing?: string;
  readonly start: () => Promise<TestEtcd>;
}[] = [
  { name: "our etcd", start: startOurs },
  {
    name: "Debian's etcd 3.5",
    start: () => startUpstreamEtcd({ version: "3.5", members: 1 }),
    ...(upstreamMissing === undefined ? {} : { missing: upstreamMissing }),
  },
];
