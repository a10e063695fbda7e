import { existsSync } from "node:fs";
import { join } from "node:path";
import { runProcess, startUpstreamEtcd, type UpstreamEtcd } from "@keelson/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { upstreamMissing } from "./etcds.ts";

// Upstream's own locksmithctl 0.6.2 against etcd's v2 keys, ours against the v3 keys of the same etcd: equal output, byte for byte.
// Nobody packages that program; see the README for how to build it.
const theirs = process.env["KEELSON_UPSTREAM_LOCKSMITHCTL"] ?? "";
const why = upstreamMissing ?? (existsSync(theirs) ? undefined : "KEELSON_UPSTREAM_LOCKSMITHCTL names no program");
if (why !== undefined) process.stdout.write(`skipped: comparison with upstream's locksmithctl: ${why}\n`);

const OURS = join(import.meta.dirname, "../src/main.ts");

/** Run in this order, each by both. */
const SAME: readonly string[] = [
  "status",
  "lock",
  "status",
  "lock other",
  "unlock other",
  "set-max 3",
  "lock other",
  "lock ABC",
  "lock one-more",
  "status",
  "set-max 1",
  "status",
  "lock one-more",
  "unlock",
  "unlock",
  "unlock ABC",
  "unlock other",
  "status",
  "set-max",
  "set-max 1 2",
  "set-max two",
  "set-max 1.5",
  "set-max 0",
  "status",
  "lock x",
  "-group a/b&c status",
  "-group a/b&c lock x",
  "--group=a/b&c status",
  "bogus",
  "help bogus",
  "-group",
  "-debug=maybe status",
  "---x",
  "-etcd-cafile /nowhere -group x help bogus",
];

describe.skipIf(why !== undefined)("next to upstream's locksmithctl", () => {
  let etcd: UpstreamEtcd;
  beforeAll(async () => {
    etcd = await startUpstreamEtcd({ version: "3.5", members: 1, flags: ["--enable-v2=true"] });
  });
  afterAll(() => etcd[Symbol.asyncDispose]());

  const both = async (line: string) => {
    const env = { ...process.env, LOCKSMITHCTL_ENDPOINT: etcd.endpoints[0] };
    const args = line.split(" ");
    const [want, got] = await Promise.all([
      runProcess(theirs, args, { env }),
      runProcess(process.execPath, [OURS, ...args], { env }),
    ]);
    return { want, got };
  };

  it("says and does the same", { timeout: 300_000 }, async () => {
    for (const line of SAME) {
      const { want, got } = await both(line);
      const shown = (result: typeof got) => ({
        line,
        code: result.code,
        stdout: result.stdout,
        stderr: firstLine(result.stderr),
      });
      expect(shown(got)).toEqual(shown(want));
    }
  });

  it("stores the same value", async () => {
    for (const line of ["set-max 2", "lock <b>", "lock ä", "set-max 1"]) await both(line);
    const path = "coreos.com/updateengine/rebootlock/semaphore";
    const response = await fetch(`${etcd.endpoints[0]}/v2/keys/${path}?quorum=true`);
    const { node } = (await response.json()) as { node: { value: string } };
    const body = JSON.stringify({ key: btoa(path) });
    const reply = await fetch(`${etcd.endpoints[0]}/v3/kv/range`, { method: "POST", body });
    const { kvs } = (await reply.json()) as { kvs: { value: string }[] };
    expect(Buffer.from(kvs[0]?.value ?? "", "base64").toString()).toBe(node.value);
  });

  it("help says the same of what both have", async () => {
    const { want, got } = await both("help");
    const lines = (text: string) => text.split("\n").map((line) => line.replace(/\t+/g, "\t"));
    const missing = lines(want.stdout).filter((line) => !lines(got.stdout).includes(line));
    expect(missing).toEqual([expect.stringMatching(/^\t0\.6\.2/)]);
  });
});

/** Behind it Go prints all flags, of which we have one more. */
function firstLine(text: string): string {
  return text.split("\n")[0] ?? "";
}
