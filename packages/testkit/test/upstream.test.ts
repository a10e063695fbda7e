import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { afterAll, expect, it, vi } from "vitest";
import { withFileLock } from "../src/file-lock.ts";
import { runProcess } from "../src/process-handle.ts";
import { tempDir } from "../src/temp-dir.ts";
import {
  type EtcdVersion,
  runEtcdctl,
  startUpstreamEtcd,
  upstreamEtcdctl,
  upstreamEtcdServer,
} from "../src/upstream/upstream-etcd.ts";
import { upstreamPackage } from "../src/upstream/upstream-package.ts";

const versions: readonly EtcdVersion[] = ["3.4", "3.5"];
const found = await Promise.all(versions.flatMap((v) => [upstreamEtcdServer(v), upstreamEtcdctl(v)]));
const missing = found.flatMap((p) => (p.ok ? [] : [p.reason]));
if (missing.length > 0) process.stderr.write(`skipped: ${missing.join("; ")}\n`);

const cache = await tempDir("cache");
afterAll(() => cache[Symbol.asyncDispose]());

for (const version of versions) {
  it.skipIf(missing.length > 0)(`runs Debian's etcd and etcdctl ${version}`, async () => {
    await using etcd = await startUpstreamEtcd({ version, members: 1 });
    expect((await runEtcdctl(version, etcd.endpoints, ["version"])).stdout).toMatch(
      new RegExp(`etcdctl version: ${version}\\.`),
    );
    expect(await runEtcdctl(version, etcd.endpoints, ["put", "a", "1"])).toMatchObject({ code: 0, stdout: "OK\n" });
    expect((await runEtcdctl(version, etcd.endpoints, ["get", "a"])).stdout).toBe("a\n1\n");
  });
}

it.skipIf(missing.length > 0)("runs three members, of which one may die and come back", async () => {
  await using etcd = await startUpstreamEtcd({ version: "3.5", members: 3 });
  await runEtcdctl("3.5", etcd.endpoints, ["put", "a", "1"]);
  await etcd.members[0]?.kill();
  const others = etcd.endpoints.slice(1);
  expect((await runEtcdctl("3.5", others, ["get", "a"])).stdout).toBe("a\n1\n");
  await etcd.members[0]?.restart();
  expect((await runEtcdctl("3.5", etcd.endpoints.slice(0, 1), ["get", "a"])).stdout).toBe("a\n1\n");
});

it.skipIf(missing.length > 0)("downloads once for many who ask at once, and then needs no network", async () => {
  vi.stubEnv("KEELSON_CACHE", cache.path);
  const all = await Promise.all(Array.from({ length: 3 }, () => upstreamPackage("etcd-client", "trixie")));
  expect(all.every((p) => p.ok)).toBe(true);
  const kept = await readdir(cache.join("upstream", "trixie"));
  expect(kept.filter((name) => name !== ".apt")).toEqual([expect.stringMatching(/^etcd-client_3\.5/)]);
  vi.stubEnv("PATH", "/nonexistent");
  expect((await upstreamPackage("etcd-client", "trixie")).ok).toBe(true);
  expect(await upstreamPackage("etcd-server", "trixie")).toEqual({
    ok: false,
    reason: "etcd-server of trixie: there is no apt-get: not a Debian system",
  });
  vi.unstubAllEnvs();
});

it("takes over the lock of a process that is gone, and keeps two apart", async () => {
  const path = cache.join("lock");
  const gone = await runProcess("sh", ["-c", "echo $$"]);
  await writeFile(path, gone.stdout.trim());
  let inside = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++inside);
    await readFile(path);
    inside--;
  };
  await Promise.all(Array.from({ length: 5 }, () => withFileLock(path, work)));
  expect(most).toBe(1);
  await rm(path, { force: true });
});
