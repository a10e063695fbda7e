import { existsSync } from "node:fs";
import { Etcd } from "@keelson/etcd";
import { freePort, startProcess, tempDir } from "@keelson/testkit";

/** A single etcd member on loopback. */
export interface TestEtcd extends AsyncDisposable {
  readonly endpoint: string;
}

export const UPSTREAM = process.env["KEELSON_UPSTREAM_ETCD"] ?? "/tmp/trixie-etcd/root/usr/bin/etcd";

/** The etcds that fleet is tested against. Upstream's binary is named by KEELSON_UPSTREAM_ETCD. */
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
      ...(existsSync(UPSTREAM) ? {} : { missing: `no etcd at ${UPSTREAM}; set KEELSON_UPSTREAM_ETCD` }),
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
  const dir = await tempDir("fleet-etcd");
  const [client, peer] = [await freePort(), await freePort()];
  const child = startProcess(UPSTREAM, [
    `--data-dir=${dir.join("data")}`,
    `--listen-client-urls=http://127.0.0.1:${client}`,
    `--advertise-client-urls=http://127.0.0.1:${client}`,
    `--listen-peer-urls=http://127.0.0.1:${peer}`,
    `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
    `--initial-cluster=default=http://127.0.0.1:${peer}`,
    "--log-level=warn",
  ]);
  await child.waitForPort(client);
  return {
    endpoint: `http://127.0.0.1:${client}`,
    async [Symbol.asyncDispose]() {
      await child[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}
