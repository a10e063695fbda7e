import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runProcess, type TempDir } from "@keelson/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Checksum, initRepo, type Repo } from "../src/index.ts";
import { bundleProgram } from "./support/bundle.ts";
import { fastDir } from "./support/fast-dir.ts";
import { commitImage } from "./support/images.ts";
import { type StaticServer, serveStatic } from "./support/static-server.ts";

// Each scenario is a program with a mount namespace and a small file system of its own, which really becomes full.

const CHILD = join(dirname(fileURLToPath(import.meta.url)), "support/full-disk-child.ts");
const isPossible = process.platform === "linux" && process.getuid?.() === 0;
if (!isPossible) process.stderr.write("skipped: a full disk: mounting a file system needs Linux and root\n");

describe.skipIf(!isPossible)("a disk that becomes full", () => {
  let dir: TempDir;
  let program: string;
  let server: StaticServer;
  let remote: Repo;
  let v1: Checksum;

  beforeAll(async () => {
    dir = await fastDir("full-disk");
    await mkdir(dir.join("mnt"));
    program = await bundleProgram(CHILD, dir.join("full-disk-child.mjs"));
    remote = await initRepo(dir.join("remote"), { mode: "archive" });
    v1 = await commitImage(remote, "v1");
    server = await serveStatic(remote.path);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await dir[Symbol.asyncDispose]();
  });

  /** 16 files of 512 KiB that do not compress. */
  async function large(version: string, sizes: boolean): Promise<Checksum> {
    const files = Object.fromEntries(
      Array.from({ length: 16 }, (_, i) => [`usr/lib/large${i}`, randomBytes(512 * 1024)]),
    );
    return await commitImage(remote, version, { files, sizes });
  }

  async function run(scenario: string, ...commits: Checksum[]): Promise<string> {
    const script = 'mount -t tmpfs -o size=12m none "$1" && exec "$2" "$3" "$4" "$1" "$5" "$6" "$7" "$8"';
    const args = [dir.join("mnt"), process.execPath, program, scenario, server.url, v1, ...commits];
    const result = await runProcess("unshare", ["--mount", "sh", "-ec", script, "sh", ...args]);
    expect(result).toMatchObject({ code: 0, stdout: expect.stringMatching(/passed\n$/) });
    return result.stdout;
  }

  it("during a pull is a clear error, breaks nothing, and the pull goes on when there is room", async () => {
    const said = await run("pull", await large("v2", false));
    process.stdout.write(said);
    expect(said).toMatch(/no space|full/);
  });

  it("between two looks at it is the same", async () => {
    expect(await run("sudden", await large("v8", false))).toMatch(/no space left|became full/);
  });

  it("is foreseen where the commit tells its sizes", async () => {
    const said = await run("sizes", await large("v3", true));
    expect(said).toMatch(
      /no space below .*: \d+ (KiB|MiB) are needed.*free \d+ (KiB|MiB) \(old deployments, files in \/var\), then try again/,
    );
  });

  it("has its garbage collected first", async () => {
    await run("garbage", await large("v4", true), await large("v5", true));
  });

  it("keeps what must stay free", async () => {
    expect(await run("reserved", await large("v6", false))).toMatch(/must stay free|reserves/);
  });

  it("during stage or finalize leaves what is booted alone", async () => {
    await run("deploy", await large("v7", false));
  });
});
