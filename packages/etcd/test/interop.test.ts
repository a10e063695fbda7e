import {
  type EtcdVersion,
  eventually,
  runEtcdctl,
  startProcess,
  startUpstreamEtcd,
  upstreamEtcdctl,
  upstreamEtcdServer,
} from "@keelson/testkit";
import { beforeAll, describe, expect, it, type TestContext } from "vitest";
import { TestCluster, target } from "./support.ts";

// The judge of compatibility is upstream's own client: what it prints against us must be what it prints against
// Debian's etcd 3.5, up to ids, times and addresses.

interface Step {
  readonly args: readonly string[];
  readonly input?: string;
}

const step = (...args: string[]): Step => ({ args });

const SCRIPT: readonly Step[] = [
  step("put", "a", "1"),
  step("put", "b", "2"),
  step("put", "a", "3", "--prev-kv"),
  step("get", "a"),
  step("get", "a", "-w", "json"),
  step("get", "a", "-w", "fields"),
  step("get", "", "--prefix"),
  step("get", "", "--prefix", "--keys-only"),
  step("get", "a", "--rev=2"),
  step("get", "a", "--rev=999"),
  step("get", "", "--from-key", "--limit=1", "-w", "fields"),
  step("get", "", "--prefix", "--sort-by=VALUE", "--order=DESCEND"),
  step("get", "", "--prefix", "--sort-by=CREATE", "--print-value-only"),
  step("get", "nothing"),
  step("get", "a", "--consistency=s"),
  step("get", "", "--prefix", "--count-only", "-w", "json"),
  step("put", "nothing", "--ignore-value"),
  step("put", "a", "--ignore-value", "--prev-kv"),
  step("del", "nothing"),
  step("put", "c1", "x"),
  step("put", "c2", "y"),
  step("del", "c", "--prefix", "--prev-kv"),
  { args: ["txn"], input: 'value("a") = "3"\nversion("b") > "0"\n\nput t then\nget a\n\nput t else\n\n' },
  { args: ["txn"], input: 'mod("a") = "1"\n\nput t then\n\nput t else\nget t\ndel b\n\n' },
  { args: ["txn"], input: "\n\nput d 1\nput d 2\n\n\n" },
  step("put", "lost", "v", "--lease=1234abcd"),
  step("lease", "revoke", "1234abcd"),
  step("lease", "timetolive", "1234abcd"),
  step("lease", "keep-alive", "--once", "1234abcd"),
  step("lease", "list"),
  step("compaction", "4"),
  step("compaction", "4"),
  step("compaction", "999"),
  step("get", "a", "--rev=2"),
  step("alarm", "list"),
  step("get", "", "--prefix", "-w", "json"),
];

/** Hides what may differ between two clusters. */
function normalise(text: string): string {
  return text
    .replace(/"(cluster_id|member_id|raft_term)":\d+/g, '"$1":N')
    .replace(/"(ClusterID|MemberID|RaftTerm)" : \d+/g, '"$1" : N')
    .replace(/^\{"level":"warn".*\n/gm, "") // the client's own retry notes, with times and addresses
    .replace(/^[\d-]+T[\d:.]+Z? WARN.*\n/gm, "");
}

async function transcript(version: EtcdVersion, endpoints: readonly string[]): Promise<string> {
  let out = "";
  for (const { args, input } of SCRIPT) {
    const result = await runEtcdctl(version, endpoints, args, input === undefined ? {} : { input });
    out += `$ etcdctl ${args.join(" ")}\n[${result.code}]\n${normalise(result.stdout)}${normalise(result.stderr)}\n`;
  }
  return out;
}

const have = { reason: "" };

beforeAll(async () => {
  for (const found of await Promise.all([upstreamEtcdctl("3.4"), upstreamEtcdctl("3.5"), upstreamEtcdServer("3.5")])) {
    if (!found.ok) have.reason = found.reason;
  }
}, 300_000);

/** Skips with the reason printed when Debian's programs cannot be had here. */
function needUpstream({ skip }: TestContext): void {
  if (have.reason === "") return;
  process.stderr.write(`skipped: Debian's etcd is not available: ${have.reason}\n`);
  skip(have.reason);
}

describe.each<EtcdVersion>(["3.4", "3.5"])("etcdctl %s", (version) => {
  it.for([1, 3])("prints against %i of our members what it prints against upstream", async (size, context) => {
    needUpstream(context);
    await using ours = await TestCluster.start(size);
    await using theirs = await startUpstreamEtcd({ version: "3.5", members: 1 });
    const [got, want] = await Promise.all([
      transcript(version, ours.endpoints),
      transcript(version, theirs.endpoints.map(target)),
    ]);
    expect(got).toBe(want);
  });

  it.for([1, 3])("shows the members, status and health of %i", async (size, context) => {
    needUpstream(context);
    await using cluster = await TestCluster.start(size);
    const run = async (...args: string[]) => {
      // As whole URLs: etcdctl 3.4 then sends them as the authority of some calls.
      const result = await runEtcdctl(
        version,
        cluster.endpoints.map((e) => `http://${e}`),
        args,
      );
      expect(result.stderr.split("\n").filter((line) => /error|fail/i.test(line))).toEqual([]);
      return result;
    };
    const members = (await run("member", "list")).stdout.trim().split("\n");
    expect(members).toHaveLength(size);
    for (const line of members) expect(line).toMatch(/^[0-9a-f]{15,16}, started, m\d, http:\S+, http:\S+, false$/);
    const status = (await run("endpoint", "status")).stdout.trim().split("\n");
    expect(status).toHaveLength(size);
    for (const line of status) expect(line).toMatch(/, 3\.7\.1, .* (true|false), false, \d+, \d+, \d+, ?$/);
    expect(status.filter((line) => /, true, false, /.test(line))).toHaveLength(1);
    const health = await run("endpoint", "health");
    expect(`${health.stdout}${health.stderr}`.match(/is healthy/g)).toHaveLength(size);
    const hashes = (await run("endpoint", "hashkv")).stdout.trim().split("\n");
    expect(new Set(hashes.map((line) => line.split(", ")[1])).size).toBe(1);
  });

  it("watches the past and the present, in order, with previous values", async (context) => {
    needUpstream(context);
    await using cluster = await TestCluster.start(1);
    const client = cluster.client(0);
    await client.put("w/1", "old");
    await client.put("w/1", "new");
    const ctl = await upstreamEtcdctl(version);
    if (!ctl.ok) throw new Error(ctl.reason);
    await using watch = startProcess(
      ctl.binary("etcdctl"),
      [`--endpoints=${cluster.endpoints[0]}`, "watch", "w/", "--prefix", "--rev=2", "--prev-kv"],
      { env: { ...ctl.env, ETCDCTL_API: "3" } },
    );
    await watch.waitForLine(/^new$/);
    await client.put("w/2", "live");
    await watch.waitForLine(/^live$/);
    const del = await runEtcdctl(version, cluster.endpoints, ["del", "w/1"]);
    expect(del.stdout).toBe("1\n");
    await watch.waitForLine(/^DELETE$/);
    await eventually(() => /DELETE\nw\/1\nnew\nw\/1\n/.test(watch.output("stdout")) || undefined);
    expect(watch.output("stdout")).toMatch(
      /^PUT\n(\n\n)?w\/1\nold\nPUT\nw\/1\nold\nw\/1\nnew\nPUT\n(\n\n)?w\/2\nlive\nDELETE/,
    );
  });

  it("grants, keeps alive, shows and revokes leases, on a follower too", async (context) => {
    needUpstream(context);
    await using cluster = await TestCluster.start(3);
    for (const endpoint of cluster.endpoints) {
      const run = async (...args: string[]) => (await runEtcdctl(version, [endpoint], args)).stdout.trim();
      const granted = await run("lease", "grant", "60");
      const id = /^lease ([0-9a-f]{16}) granted with TTL\(60s\)$/.exec(granted)?.[1] ?? "";
      expect(id).not.toBe("");
      expect(await run("put", "leased", "v", `--lease=${id}`)).toBe("OK");
      expect(await run("lease", "keep-alive", "--once", id)).toBe(`lease ${id} keepalived with TTL(60)`);
      expect(await run("lease", "timetolive", id, "--keys")).toMatch(
        /^lease [0-9a-f]{16} granted with TTL\(60s\), remaining\((59|60)s\), attached keys\(\[leased\]\)$/,
      );
      expect(await run("lease", "list")).toBe(`found 1 leases\n${id}`);
      expect(await run("lease", "revoke", id)).toBe(`lease ${id} revoked`);
      expect(await run("get", "leased")).toBe("");
    }
  });
});
