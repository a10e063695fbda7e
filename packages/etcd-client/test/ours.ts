import { join } from "node:path";
import { freePort, type ProcessHandle, startProcess, tempDir } from "@keelson/testkit";
import type { TestCluster } from "./upstream.ts";

const MEMBER = join(import.meta.dirname, "our-member.ts");

/** Keelson's own members as processes on loopback. */
export async function startOurs(size: number): Promise<TestCluster> {
  const dir = await tempDir("etcd");
  const members = await Promise.all(
    Array.from({ length: size }, async (_, i) => ({
      name: `m${i}`,
      client: `http://127.0.0.1:${await freePort()}`,
      peer: `http://127.0.0.1:${await freePort()}`,
    })),
  );
  const initialCluster = members.map((m) => `${m.name}=${m.peer}`).join(",");
  const processes: (ProcessHandle | undefined)[] = members.map(() => undefined);
  const start = async (index: number): Promise<void> => {
    const m = members[index];
    if (m === undefined) throw new Error(`there is no member ${index}`);
    const options = {
      name: m.name,
      dataDir: dir.join(m.name),
      listenClientUrls: [m.client],
      listenPeerUrls: [m.peer],
      initialCluster,
      heartbeatMs: 50,
      electionMs: 500,
    };
    const child = startProcess(process.execPath, [MEMBER, JSON.stringify(options)], { name: m.name });
    processes[index] = child;
    await child.waitForLine(/^ready$/);
  };
  const stop = async () => {
    for (const child of processes) await child?.[Symbol.asyncDispose]();
    await dir[Symbol.asyncDispose]();
  };
  try {
    await Promise.all(members.map((_, i) => start(i)));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoints: members.map((m) => m.client),
    kill: async (index) => {
      processes[index]?.killTree("SIGKILL");
      await processes[index]?.waitForExit();
    },
    pause: (index) => processes[index]?.kill("SIGSTOP"),
    resume: (index) => processes[index]?.kill("SIGCONT"),
    start,
    [Symbol.asyncDispose]: stop,
  };
}
