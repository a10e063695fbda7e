import { get } from "node:http";
import { hexId } from "@keelson/types";
import type { RemoteCluster, ServerConfig } from "./config.ts";
import { ConfigError } from "./core/errors.ts";
import type { MemberInfo } from "./core/membership.ts";

const TIMEOUT_MS = 5_000;
const BODY_BYTES_MAX = 1 << 20;

/** What a member answers to those who want to join (`GET /members` on its peer address). */
export function membersJson(clusterId: bigint, members: readonly MemberInfo[]): string {
  return JSON.stringify({ clusterId: hexId(clusterId), members: members.map((m) => ({ ...m, id: hexId(m.id) })) });
}

/** Asks the others of `initialCluster` one by one for the cluster they are in. @throws ConfigError when nobody answers */
export async function fetchRemoteCluster(config: ServerConfig): Promise<RemoteCluster> {
  const others = [...config.initialCluster].filter(([name]) => name !== config.name).flatMap(([, urls]) => urls);
  const failures: string[] = [];
  for (const url of others) {
    try {
      return parse(await fetchText(`${url}/members`));
    } catch (error) {
      failures.push(`${url}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new ConfigError(
    `cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs (${failures.join("; ") || "none given"})`,
  );
}

function parse(text: string): RemoteCluster {
  const raw = JSON.parse(text) as { clusterId: string; members: (Omit<MemberInfo, "id"> & { id: string })[] };
  const id = (hex: string) => BigInt(`0x${hex}`);
  return { clusterId: id(raw.clusterId), members: raw.members.map((m) => ({ ...m, id: id(m.id) })) };
}

function fetchText(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const req = get(url, { timeout: TIMEOUT_MS, agent: false }, (res) => {
      let body = "";
      res.setEncoding("utf8");
      res.on("data", (chunk: string) => {
        body += chunk;
        if (body.length > BODY_BYTES_MAX) req.destroy(new Error("the answer is too long"));
      });
      res.on("end", () => (res.statusCode === 200 ? resolve(body) : reject(new Error(`HTTP ${res.statusCode}`))));
    });
    req.on("timeout", () => req.destroy(new Error("no answer in time")));
    req.on("error", reject);
  });
}
