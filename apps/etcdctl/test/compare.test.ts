import { runEtcdctl, startUpstreamEtcd, type UpstreamEtcd, upstreamEtcdServer } from "@keelson/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../src/cli.ts";
import { captureIo } from "./capture-io.ts";

const available = await upstreamEtcdServer("3.5");

/** What differs between two clusters and two moments: ids, addresses, durations. */
function normalise(text: string): string {
  return (
    text
      .replace(/127\.0\.0\.1:\d+/g, "ADDR")
      .replace(/\b\d{17,20}\b/g, "ID")
      .replace(/\b[0-9a-f]{15,16}\b/g, "HEX")
      .replace(/\b[0-9.]+(ns|µs|ms|s)\b(?=[ "\n|]|$)/g, "TOOK")
      .replace(/remaining\(\d+s\)|(?<=TTL"? ?: ?)\d+$|(?<="ttl":)\d+/gm, "TTL")
      .replace(/ETCD_INITIAL_CLUSTER="(.*)"/, (_all, list: string) => list.split(",").toSorted().join(","))
      .replace(/In etcd v3\.6, the operation will be suspended.*\n/, "")
      .replace(/^.*TOOK.*$|(?<=\n).*(?=\n\+-.*\n.*TOOK)/gm, (line) => line.replace(/ +/g, " "))
      // A member's id may begin with a zero, which makes its column narrower.
      .replace(/\|\s+ID\s+\|/g, "| ID |")
      .replace(/-{4,}/g, "----")
      .replace(/^.*"level":"(warn|info)".*\n/gm, "")
  );
}

/** One line of the script: arguments, and standard input. `LEASE` stands for the lease granted before. */
type Step = readonly [args: string, input?: string];

const STEPS: readonly Step[] = [
  ["put foo bar"],
  ["put foo bar2 --prev-kv"],
  ["put foo bar3 --prev-kv -w json"],
  ["put foo bar4 --prev-kv -w fields"],
  ["put foo --ignore-lease", "from stdin\n"],
  ["put foo --ignore-value"],
  ["put none --ignore-value"],
  ["put"],
  ["put a", ""],
  ["put -- -dash -value"],
  ["put --lease=zz a b"],
  ["put --lease=123 a b"],
  ["put --lease=123 a b -w table"],
  ["get foo"],
  ["get foo -w fields"],
  ["get foo -w json"],
  ["get foo -w table"],
  ["get foo -w bogus"],
  ["get foo --keys-only"],
  ["get foo --print-value-only"],
  ["get foo --print-value-only -w json"],
  ["get foo --count-only"],
  ["get foo --count-only -w fields"],
  ["get foo --hex"],
  ["get foo --hex -w fields"],
  ["get none"],
  ["get none -w json"],
  ["get"],
  ["get foo --rev 2"],
  ["get foo --rev=2 -w json"],
  ["get foo --rev 1000"],
  ["get foo --consistency=s"],
  ["get foo --consistency=x"],
  ["get foo --order=x"],
  ["get foo --sort-by=x"],
  ["get foo --prefix --from-key"],
  ["get foo goo --prefix"],
  ["get --prefix --order=DESCEND --sort-by=MODIFY --limit=2 f"],
  ["get --from-key a -w json"],
  ["get a z"],
  ["get '' --prefix=true --keys-only=true"],
  ["del foo --prev-kv"],
  ["del foo"],
  ["del foo -w json"],
  ["del foo -w fields"],
  ["del"],
  ["put a 1"],
  ["put b 2"],
  ["del a c --prev-kv -w fields"],
  ["del --prefix '' --prev-kv -w json"],
  ["put k1 v1"],
  ["put k2 v2"],
  ["txn", 'value("k1") = "v1"\n\nput k1 "new v"\nget k1\ndel k2\n\nget none\n\n'],
  ["txn", 'mod("k1") > "1"\nver("k1") = "9"\n\nget k1\n\nget --prefix k\nput x y\n\n'],
  ["txn -w json", 'c("k1") != "0"\n\nget k1\nput q r --prev-kv\ndel q2 --prev-kv\n\n\n'],
  ["txn -w fields", 'create("k1") != "0"\n\nget k1\nput q r --prev-kv\ndel q2 --prev-kv\n\n\n'],
  ["txn -w table", "\n\n\n"],
  ["txn -i", 'val("k1") = "new v"\n\nput z "a b"\n\n\n'],
  ["txn", 'bogus("k1") != "0"\n\n\n\n'],
  ["txn", 'mod("k1") = "abc"\n\n\n\n'],
  ["txn", "\nfoo k1\n\n\n"],
  ["txn", "\nput k1 --lease=zz v\n\n\n"],
  ["txn", "\nput k1\n\n\n"],
  ["txn", "\n\n\n"],
  ["txn", 'value("k1") = "v1"\n\nget k1\n'],
  ["endpoint hashkv"],
  ["endpoint hashkv -w json"],
  ["endpoint hashkv -w table"],
  ["endpoint hashkv -w fields"],
  ["lease grant 600"],
  ["lease grant 600 -w json"],
  ["lease grant 600 -w fields"],
  ["lease grant abc"],
  ["lease grant"],
  ["lease grant 9000000001"],
  ["put lk v --lease=LEASE"],
  ["get lk -w json"],
  ["get lk -w fields"],
  ["lease timetolive LEASE --keys"],
  ["lease timetolive LEASE"],
  ["lease timetolive LEASE --keys -w json"],
  ["lease timetolive LEASE -w fields --keys"],
  ["lease timetolive 123"],
  ["lease timetolive 123 -w json"],
  ["lease timetolive zz"],
  ["lease list"],
  ["lease list -w json"],
  ["lease list -w fields"],
  ["lease list -w table"],
  ["lease keep-alive --once LEASE"],
  ["lease keep-alive --once LEASE -w json"],
  ["lease keep-alive --once LEASE -w fields"],
  ["lease keep-alive --once 123"],
  ["lease keep-alive 123"],
  ["lease revoke LEASE"],
  ["lease revoke 1"],
  ["lease revoke zz"],
  ["lease revoke"],
  ["member list"],
  ["member list -w json"],
  ["member list -w json --hex"],
  ["member list -w fields"],
  ["member list -w table"],
  ["member list -w fields --hex"],
  ["member add"],
  ["member add x"],
  ["member add y --peer-urls=bogus"],
  ["member remove zz"],
  ["member remove"],
  ["member update 1"],
  ["endpoint health"],
  ["endpoint health -w json"],
  ["endpoint health -w table"],
  ["endpoint health -w fields"],
  ["endpoint health --cluster"],
  ["endpoint status"],
  ["endpoint status -w json"],
  ["endpoint status -w table"],
  ["endpoint status -w fields"],
  ["endpoint status --cluster"],
  ["alarm list"],
  ["alarm list -w json"],
  ["alarm list -w fields"],
  ["alarm disarm"],
  ["defrag"],
  ["compaction 5"],
  ["compaction 5"],
  ["compaction 100000"],
  ["compaction abc"],
  ["compaction"],
  ["compaction 6 --physical"],
  ["watch a --rev=1"],
  ["watch"],
  ["move-leader 123"],
  ["snapshot save"],
  ["elect"],
  ["elect e"],
  ["lock"],
  ["member remove 1"],
  ["member add x --peer-urls=http://127.0.0.1:39999"],
];

function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2] ?? "");
}

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe.skipIf(!available.ok)("etcdctl beside Debian's 3.5, each against its own etcd 3.5", () => {
  let theirs: UpstreamEtcd;
  let ours: UpstreamEtcd;
  const leases = { theirs: "", ours: "" };

  beforeAll(async () => {
    [theirs, ours] = await Promise.all([
      startUpstreamEtcd({ version: "3.5", members: 1 }),
      startUpstreamEtcd({ version: "3.5", members: 1 }),
    ]);
  });
  afterAll(async () => {
    await theirs?.[Symbol.asyncDispose]();
    await ours?.[Symbol.asyncDispose]();
  });

  const runTheirs = (args: readonly string[], input = ""): Promise<Outcome> =>
    runEtcdctl("3.5", theirs.endpoints, args, { input, timeoutMs: 30_000 });
  // In this process: a Node start for each of the steps would be most of the time.
  const runOurs = async (args: readonly string[], input = ""): Promise<Outcome> => {
    const captured = captureIo(input);
    const code = await run([`--endpoints=${ours.endpoints.join(",")}`, ...args], captured.io);
    return { code, ...captured.result() };
  };

  it.each(STEPS.map(([line, input]) => ({ line, input })))("$line", async ({ line, input }) => {
    const [want, got] = await Promise.all([
      runTheirs(words(line.replace("LEASE", leases.theirs)), input),
      runOurs(words(line.replace("LEASE", leases.ours)), input),
    ]);
    const granted = /^lease ([0-9a-f]{16}) granted/;
    leases.theirs = granted.exec(want.stdout)?.[1] ?? leases.theirs;
    leases.ours = granted.exec(got.stdout)?.[1] ?? leases.ours;
    expect({ code: got.code, stdout: normalise(got.stdout), stderr: normalise(got.stderr) }).toEqual({
      code: want.code,
      stdout: normalise(want.stdout),
      stderr: normalise(want.stderr),
    });
  });
});
