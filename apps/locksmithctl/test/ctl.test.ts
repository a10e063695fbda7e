import { readFile } from "node:fs/promises";
import { EtcdClient } from "@keelson/etcd-client";
import { EtcdLockStore, Semaphore } from "@keelson/locksmith";
import { tempDir } from "@keelson/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { runLocksmithctl } from "../src/ctl.ts";
import { ETCDS, type TestEtcd } from "./etcds.ts";

const IDS = ["113f16a78f9f4b4ca9d7d1a1ba1b8b5a", "2222222222222222aaaaaaaaaaaaaaaa"] as const;
const PREFIX = "coreos.com/updateengine/rebootlock/";
const ok = (stdout = "") => ({ exitCode: 0, stdout, stderr: "" });
const fails = (stderr: string, exitCode = 1) => ({ exitCode, stdout: "", stderr });

for (const { name, start, missing } of ETCDS) {
  describe.skipIf(missing !== undefined)(`locksmithctl on ${name}`, () => {
    let etcd: TestEtcd;
    let client: EtcdClient;
    let nowMs: number | undefined;

    beforeAll(async () => {
      etcd = await start();
      client = new EtcdClient({ endpoints: etcd.endpoints });
    });
    afterAll(async () => {
      client.close();
      await etcd[Symbol.asyncDispose]();
    });
    beforeEach(async () => {
      nowMs = undefined;
      await client.delete({ prefix: "" });
    });

    async function locksmithctl(line: string, env: Record<string, string> = {}, uid = 0) {
      const [out, err]: [string[], string[]] = [[], []];
      const exitCode = await runLocksmithctl(line === "" ? [] : line.split(" "), {
        out: (text) => void out.push(text),
        err: (text) => void err.push(text),
        env: { LOCKSMITHCTL_ENDPOINT: etcd.endpoints.join(","), ...env },
        readFile: (path) => (path === "/etc/machine-id" ? `${IDS[0]}\n` : undefined),
        uid,
        hostname: "alpha",
        nowMs: () => nowMs ?? Date.now(),
        signal: new AbortController().signal,
      });
      return { exitCode, stdout: out.join(""), stderr: err.join("") };
    }
    const semaphore = () => new Semaphore({ store: new EtcdLockStore(client) });
    const stored = async () => (await client.get(`${PREFIX}semaphore`))?.text;

    it("B1.1: status, lock, unlock and set-max, with upstream's texts and exit codes", async () => {
      expect(await locksmithctl("status")).toEqual(ok("Available: 1\nMax: 1\n"));
      expect(await locksmithctl("lock")).toEqual(ok());
      expect(await stored()).toBe(`{"semaphore":0,"max":1,"holders":["${IDS[0]}"]}`);
      expect(await locksmithctl("status")).toEqual(ok(`Available: 0\nMax: 1\n\nMACHINE ID\n${IDS[0]}\n`));
      expect(await locksmithctl(`lock ${IDS[1]}`)).toEqual(fails("Error locking: semaphore is at 0\n"));
      expect(await locksmithctl("set-max 3")).toEqual(ok("Old-Max: 1\nMax: 3\n"));
      expect(await locksmithctl(`lock ${IDS[1]}`)).toEqual(ok());
      expect(await locksmithctl("set-max 1")).toEqual(ok("Old-Max: 3\nMax: 1\n"));
      expect(await locksmithctl("status")).toEqual(ok(`Available: -1\nMax: 1\n\nMACHINE ID\n${IDS.join("\n")}\n`));
      expect(await locksmithctl("lock x")).toEqual(fails("Error locking: semaphore is at -1\n"));
      expect(await locksmithctl("lock")).toEqual(ok()); // a holder may lock again
      expect(await locksmithctl("unlock")).toEqual(ok());
      expect(await locksmithctl("unlock")).toEqual(fails("Error unlocking: holder does not exist\n"));
      expect(await locksmithctl(`unlock ${IDS[1]}`)).toEqual(ok());
      expect(await stored()).toBe('{"semaphore":1,"max":1,"holders":null}');
    });

    it.each([
      ["set-max", fails("New maximum value must be set.\n")],
      ["set-max 1 2", fails("New maximum value must be set.\n")],
      ["set-max two", fails("Invalid maximum value: two\n")],
      ["set-max 1.5", fails("Invalid maximum value: 1.5\n")],
      [
        "bogus",
        {
          exitCode: 2,
          stdout: `locksmithctl: unknown subcommand: "bogus"\nRun 'locksmithctl help' for usage.\n`,
          stderr: "",
        },
      ],
      ["help bogus", { exitCode: 1, stdout: "Unrecognized command: bogus\n", stderr: "" }],
      ["-version", ok("locksmithctl version 0.1.0\n")],
      ["status -o yaml", fails('unknown output "yaml": text, wide or json\n', 2)],
      [
        "status -etcd-certfile /x",
        fails("Error initializing etcd client: -etcd-certfile and -etcd-keyfile go together\n"),
      ],
      ["-etcd-cafile /nowhere status", fails("Error initializing etcd client: -etcd-cafile: cannot read /nowhere\n")],
      ["-endpoint nonsense://x status", fails("Error initializing etcd client: ")],
    ])("%s", async (line, want) => {
      const got = await locksmithctl(line);
      expect({ ...got, stderr: got.stderr.slice(0, want.stderr.length) }).toEqual(want);
    });

    it("help, --help and no command at all", async () => {
      const help = await locksmithctl("help");
      expect(help).toMatchObject({ exitCode: 0, stderr: "" });
      expect(await locksmithctl("")).toEqual(help);
      expect(await locksmithctl("status --help")).toEqual(await locksmithctl("help status"));
      expect((await locksmithctl("-h")).stdout).toMatch(/^Usage of locksmithctl:\n {2}-debug\n/);
      const unknown = await locksmithctl("-x status");
      expect(unknown).toMatchObject({ exitCode: 2, stdout: "" });
      expect(unknown.stderr).toMatch(/^flag provided but not defined: -x\nUsage of locksmithctl:\n/);
      expect(await locksmithctl("status -x")).toMatchObject({
        exitCode: 2,
        stdout: "flag provided but not defined: -x\n",
      });
    });

    it("groups, by flag and by environment", async () => {
      expect(await locksmithctl("-group db lock m1")).toEqual(ok());
      expect(await locksmithctl("status")).toEqual(ok("Available: 1\nMax: 1\n"));
      const want = ok("Available: 0\nMax: 1\n\nMACHINE ID\nm1\n");
      expect(await locksmithctl("status", { LOCKSMITHCTL_GROUP: "db" })).toEqual(want);
      expect(await locksmithctl("status -group db")).toEqual(want);
    });

    it("wide and JSON say who holds, since when and what for, and who waits", async () => {
      const hold = await semaphore().lock(IDS[1], { machine: "beta", version: "2.0", reason: "update" });
      await hold.announce();
      const stop = new AbortController();
      const waiting = semaphore().lock("m3", { machine: "gamma", wait: true, signal: stop.signal });
      waiting.catch(() => {});
      await expect.poll(async () => (await semaphore().status()).waiters.length, { timeout: 10_000 }).toBe(1);
      nowMs = hold.record.sinceMs + 125_000;
      expect((await locksmithctl("status -o wide")).stdout).toBe(
        "Available: 0\nMax: 1\n\n" +
          "MACHINE ID\t\t\t\tNAME\tAGE\tSTATE\tFOR\n" +
          `${IDS[1]}\tbeta\t2m\theld\tupdate to 2.0\n\n` +
          "WAITING\tNAME\tAGE\nm3\tgamma\t2m\n",
      );
      const json = JSON.parse((await locksmithctl("status --output json")).stdout) as Record<string, unknown>;
      expect(json).toMatchObject({
        available: 0,
        max: 1,
        holders: [
          {
            id: IDS[1],
            kind: "alive",
            machine: "beta",
            version: "2.0",
            reason: "update",
            isGoingDown: true,
            ageSeconds: 125,
          },
        ],
        waiters: [{ id: "m3", machine: "gamma" }],
      });
      stop.abort();
      await hold.release();
    });

    it("unlock --stale gives on the slots of those who did not come back, and of nobody else", async () => {
      await semaphore().setMax(3);
      await locksmithctl("lock byhand");
      const alive = await semaphore().lock("alive");
      const dead = await semaphore().lock("dead", { version: "2.0" });
      await dead.announce();
      await client.lease.revoke(BigInt(`0x${dead.lease}`));
      expect(await locksmithctl("status -o wide")).toMatchObject({
        stdout: expect.stringMatching(/\ndead\t.*\tstale\t/),
      });
      expect(await locksmithctl("unlock --stale")).toEqual(ok("Unlocked dead, denied version 2.0\n"));
      expect(await locksmithctl("unlock --stale")).toEqual(ok());
      expect(await stored()).toBe('{"semaphore":1,"max":3,"holders":["alive","byhand"]}');
      expect((await client.get("coreos.com/updateengine/rollout/denied/2.0"))?.text).toContain("did not come back");
      await alive.release();
    });

    it("lock -wait queues, and says why", async () => {
      await locksmithctl("lock m1");
      const waiting = locksmithctl("lock -wait m2");
      await expect.poll(async () => (await semaphore().status()).waiters.length, { timeout: 10_000 }).toBe(1);
      await locksmithctl("unlock m1");
      expect(await waiting).toEqual({ exitCode: 0, stdout: "", stderr: "Waiting: semaphore is at 0\n" });
    });

    it("a semaphore that cannot be read is said to be so, without a crash", async () => {
      await client.put(`${PREFIX}semaphore`, "{");
      for (const line of ["status", "set-max 2"]) {
        const got = await locksmithctl(line);
        expect(got).toMatchObject({ exitCode: 1, stdout: "" });
        expect(got.stderr).toMatch(/^Error setting value: the semaphore in etcd cannot be read, it is not JSON: \{/);
      }
      expect(await stored()).toBe("{");
    });

    it("no etcd: upstream's text, at once", async () => {
      const startMs = performance.now();
      const got = await locksmithctl("-endpoint http://127.0.0.1:1 status");
      expect(got).toMatchObject({ exitCode: 1, stdout: "" });
      expect(got.stderr).toMatch(/^Error initializing etcd client: etcd does not serve us: .+\n$/);
      expect(performance.now() - startMs).toBeLessThan(15_000);
    });

    it("reboot is for root", async () => {
      expect(await locksmithctl("reboot", {}, 1000)).toEqual(fails("Must be root to initiate reboot.\n"));
    });

    it("send-need-reboot writes the file", async () => {
      await using dir = await tempDir("locksmith-need");
      const file = dir.join("deep", "need-reboot");
      expect(await locksmithctl(`send-need-reboot -need-reboot-file ${file}`)).toEqual(ok());
      expect(await readFile(file, "utf8")).toBe("locksmithctl send-need-reboot\n");
      expect(await locksmithctl(`send-need-reboot -need-reboot-file ${file}/x`)).toMatchObject({
        exitCode: 1,
        stderr: expect.stringMatching(/^error writing .*\/need-reboot\/x: /),
      });
    });
  });
}
