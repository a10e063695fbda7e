import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { freePort, type ProcessHandle, tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";
import { ProcessCluster, startEtcd } from "./support.ts";

/** Runs a program that is expected to end by itself. */
async function ended(handle: ProcessHandle): Promise<{ code: number | null; out: string }> {
  await using process = handle;
  const { code } = await process.waitForExit(60_000);
  return { code, out: process.output() };
}

const single = async (dir: string): Promise<string[]> => {
  const peer = `http://127.0.0.1:${await freePort()}`;
  return [
    `--data-dir=${dir}`,
    "--listen-client-urls=http://127.0.0.1:0",
    "--advertise-client-urls=http://127.0.0.1:0",
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
  ];
};

it("prints its version as upstream does", async () => {
  const { code, out } = await ended(startEtcd(["--version"]));
  expect(code).toBe(0);
  expect(out).toMatch(/^etcd Version: 3\.7\.1\nGit SHA: .+\nGo Version: .+\nGo OS\/Arch: .+/);
});

it.each<[string, string[], Record<string, string>, number, RegExp]>([
  ["an unknown flag", ["--no-such-flag=1"], {}, 2, /flag provided but not defined: -no-such-flag/],
  ["a stray word", ["serve"], {}, 1, /"serve" is not a valid flag/],
  ["a number that is none", ["--snapshot-count=many"], {}, 2, /invalid value "many" for flag -snapshot-count/],
  ["a flag and its variable", ["--name=a"], { ETCD_NAME: "b" }, 1, /conflicting environment variable "ETCD_NAME"/],
  ["a bad URL", ["--listen-peer-urls=127.0.0.1"], {}, 2, /127\.0\.0\.1 is not http:\/\/HOST:PORT/],
  ["a host name to listen on", ["--listen-peer-urls=http://example.org:2380"], {}, 1, /expected IP in URL for binding/],
  [
    "listening without advertising",
    ["--listen-client-urls=http://127.0.0.1:0"],
    {},
    1,
    /--advertise-client-urls is required/,
  ],
  ["an election shorter than five heartbeats", ["--election-timeout=200"], {}, 1, /should be at least as 5 times/],
  [
    "a name that is not in the cluster",
    ["--name=x", "--initial-cluster=a=http://127.0.0.1:1"],
    {},
    1,
    /local name "x"/,
  ],
  ["encryption that is not there", ["--cert-file=/x"], {}, 1, /--cert-file is not supported yet/],
  [
    "two members with the same address",
    [
      "--name=a",
      "--initial-cluster=a=http://127.0.0.1:1,b=http://127.0.0.1:1",
      "--initial-advertise-peer-urls=http://127.0.0.1:1",
    ],
    {},
    1,
    /members "a" and "b" have the same peer URL/,
  ],
  ["a config file that is not there", ["--config-file=/no/such/file"], {}, 1, /cannot read --config-file/],
])("refuses %s with a clear error and no data", async (_title, args, env, wantCode, wantText) => {
  await using dir = await tempDir("etcd-bad");
  const free = ["--data-dir=d"];
  if (!args.some((a) => a.startsWith("--listen-peer-urls")))
    free.push(`--listen-peer-urls=http://127.0.0.1:${await freePort()}`);
  const { code, out } = await ended(startEtcd([...free, ...args], env, dir.path));
  expect(out).toMatch(wantText);
  expect(code).toBe(wantCode);
  expect(await readdir(dir.path)).toEqual([]);
});

it("names the address of a port in use and leaves no data directory", async () => {
  await using dir = await tempDir("etcd-port");
  const blocker = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => blocker.once("listening", resolve));
  const { port } = blocker.address() as { port: number };
  try {
    const args = [...(await single(dir.join("d"))), `--listen-client-urls=http://127.0.0.1:${port}`];
    const { code, out } = await ended(startEtcd(args));
    expect(out).toMatch(new RegExp(`failed to listen on http://127.0.0.1:${port}.*EADDRINUSE`));
    expect(code).toBe(1);
    expect(await readdir(dir.path)).toEqual([]);
  } finally {
    blocker.close();
  }
});

it("refuses a second program on the data of a running one, another's data, and data that is damaged", async () => {
  await using dir = await tempDir("etcd-data");
  const data = dir.join("d");
  await using first = startEtcd(await single(data));
  await first.waitForLine(/ready to serve client requests/);
  const second = await ended(startEtcd(await single(data)));
  expect(second.out).toMatch(/another process.*has it open/);
  expect(second.code).toBe(1);
  first.kill("SIGTERM");
  expect((await first.waitForExit()).code).toBe(0);

  const renamed = await ended(startEtcd([...(await single(data)), "--name=other"]));
  expect(renamed.out).toMatch(/belongs to member "default", not "other": check --name and --data-dir/);
  expect(renamed.code).toBe(1);

  const token = await ended(startEtcd([...(await single(data)), "--initial-cluster-token=prod"]));
  expect(token.out).toMatch(/belongs to a cluster with token "etcd-cluster", not "prod"/);

  const db = join(data, "member", "db");
  for (const name of await readdir(db)) {
    const content = await readFile(join(db, name));
    if (!/\.(log|ldb)$/.test(name) || content.length < 256) continue;
    // Damage in the middle: what a bad disk does, unlike the torn end that a crash leaves.
    const middle = Math.floor(content.length / 4);
    await writeFile(join(db, name), content.fill(0xa5, middle, middle + 64));
  }
  const damaged = await ended(startEtcd(await single(data)));
  expect(damaged.out).toMatch(/failed to start etcd: .*(corrupt|damaged|missing|checksum)/i);
  expect(damaged.out).toContain(db);
  expect(damaged.code).toBe(1);
});

it("refuses a directory that is something else", async () => {
  await using dir = await tempDir("etcd-foreign");
  const db = dir.join("d", "member", "db");
  await mkdir(db, { recursive: true });
  await writeFile(join(db, "photo.jpg"), "not a database");
  const { code, out } = await ended(startEtcd(await single(dir.join("d"))));
  expect(out).toMatch(/failed to start etcd/);
  expect(code).toBe(1);
  expect(await readdir(db)).toEqual(["photo.jpg"]);
});

it("takes its settings from a configuration file instead of flags and variables", async () => {
  await using dir = await tempDir("etcd-file");
  const peer = `http://127.0.0.1:${await freePort()}`;
  const lines = [
    "# a comment",
    "name: from-file",
    `data-dir: "${dir.join("d")}"`,
    "listen-client-urls: http://127.0.0.1:0",
    "advertise-client-urls: http://127.0.0.1:0",
    `listen-peer-urls: ${peer}`,
    `initial-advertise-peer-urls: ${peer}`,
    "watch-progress-notify-interval: 5000000000",
  ];
  await writeFile(dir.join("etcd.yml"), `${lines.join("\n")}\n`);
  await using etcd = startEtcd([`--config-file=${dir.join("etcd.yml")}`, "--name=ignored"], {
    ETCD_NAME: "ignored too",
  });
  await etcd.waitForLine(/"name":"from-file".*started etcd member/);
});

it("SIGTERM: the leader hands over and ends cleanly", async () => {
  await using cluster = await ProcessCluster.start(3);
  const isLeader = async (url: string) =>
    /^etcd_server_is_leader 1$/m.test(await (await fetch(`${url}/metrics`)).text());
  const leads = await Promise.all(cluster.endpoints.map(isLeader));
  const leader = leads.indexOf(true);
  cluster.process(leader).kill("SIGTERM");
  expect((await cluster.process(leader).waitForExit()).code).toBe(0);
  expect(cluster.process(leader).output()).toContain("leadership transferred");
  const health = await fetch(`${cluster.endpoints[(leader + 1) % 3]}/health`);
  expect(await health.text()).toBe('{"health":"true","reason":""}');
});
