import { startUpstreamEtcd, upstreamEtcdServer } from "@keelson/testkit";

/** A cluster for tests: members that can be killed hard and started again on their data. */
export interface TestCluster extends AsyncDisposable {
  readonly endpoints: readonly string[];
  kill(index: number): Promise<void>;
  pause(index: number): void;
  resume(index: number): void;
  start(index: number): Promise<void>;
}

/** Whether Debian's etcd 3.5 can be had here; the reason is printed when not. */
export const upstream = await upstreamEtcdServer("3.5");
if (!upstream.ok) process.stdout.write(`skipped: tests against upstream's etcd: ${upstream.reason}\n`);

/** Upstream members as processes on loopback, with an election timeout that suits a test. */
export async function startUpstream(size: number): Promise<TestCluster> {
  const cluster = await startUpstreamEtcd({
    version: "3.5",
    members: size === 1 ? 1 : 3,
    flags: ["--heartbeat-interval=50", "--election-timeout=500"],
  });
  const member = (index: number) => {
    const found = cluster.members[index];
    if (found === undefined) throw new Error(`there is no member ${index}`);
    return found;
  };
  return {
    endpoints: cluster.endpoints,
    kill: (index) => member(index).kill("SIGKILL"),
    pause: (index) => member(index).process.kill("SIGSTOP"),
    resume: (index) => member(index).process.kill("SIGCONT"),
    start: (index) => member(index).restart(),
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}
