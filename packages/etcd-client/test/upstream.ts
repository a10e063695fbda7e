import { freePort, type ProcessHandle, startProcess, tempDir } from "@keelson/testkit";

/** A cluster for tests: members that can be killed hard and started again on their data. */
export interface TestCluster extends AsyncDisposable {
  readonly endpoints: readonly string[];
  kill(index: number): Promise<void>;
  pause(index: number): void;
  resume(index: number): void;
  start(index: number): Promise<void>;
}

/** Upstream members as processes on loopback. */
export async function startCluster(size: number): Promise<TestCluster> {
  const binary = process.env["KEELSON_UPSTREAM_ETCD"] ?? "/tmp/trixie-etcd/root/usr/bin/etcd";
  const dir = await tempDir();
  const members = await Promise.all(
    Array.from({ length: size }, async (_, i) => ({ name: `m${i}`, client: await freePort(), peer: await freePort() })),
  );
  const initial = members.map((m) => `${m.name}=http://127.0.0.1:${m.peer}`).join(",");
  const processes: (ProcessHandle | undefined)[] = members.map(() => undefined);
  const start = async (i: number) => {
    const m = members[i];
    if (m === undefined) throw new Error(`no member ${i}`);
    const args = [
      `--name=${m.name}`,
      `--data-dir=${dir.path}/${m.name}`,
      `--listen-client-urls=http://127.0.0.1:${m.client}`,
      `--advertise-client-urls=http://127.0.0.1:${m.client}`,
      `--listen-peer-urls=http://127.0.0.1:${m.peer}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${m.peer}`,
      `--initial-cluster=${initial}`,
      "--heartbeat-interval=50",
      "--election-timeout=500",
      "--log-level=warn",
    ];
    const child = startProcess(binary, args, { name: m.name });
    processes[i] = child;
    await child.waitForPort(m.client);
  };
  await Promise.all(members.map((_, i) => start(i)));
  return {
    endpoints: members.map((m) => `http://127.0.0.1:${m.client}`),
    kill: async (i) => {
      processes[i]?.kill("SIGKILL");
      await processes[i]?.waitForExit();
    },
    pause: (i) => processes[i]?.kill("SIGSTOP"),
    resume: (i) => processes[i]?.kill("SIGCONT"),
    start,
    [Symbol.asyncDispose]: async () => {
      for (const p of processes) await p?.[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}
