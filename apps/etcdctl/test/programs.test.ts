import { join } from "node:path";
import {
  eventually,
  type ProcessHandle,
  runEtcdctl,
  runProcess,
  startProcess,
  startUpstreamEtcd,
  type UpstreamEtcd,
  upstreamEtcdctl,
  upstreamEtcdServer,
} from "@keelson/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const MAIN = join(import.meta.dirname, "../src/main.ts");
const server = await upstreamEtcdServer("3.5");
const client = await upstreamEtcdctl("3.5");

describe.skipIf(!server.ok || !client.ok)("the etcdctl program beside Debian's 3.5 on one etcd 3.5", () => {
  let etcd: UpstreamEtcd;

  beforeAll(async () => {
    etcd = await startUpstreamEtcd({ version: "3.5", members: 1 });
  });
  afterAll(async () => {
    await etcd?.[Symbol.asyncDispose]();
  });

  const endpoints = () => `--endpoints=${etcd.endpoints.join(",")}`;
  const ours = (args: readonly string[], options: { input?: string; env?: Record<string, string> } = {}) =>
    runProcess(process.execPath, [MAIN, ...args], {
      timeoutMs: 30_000,
      ...(options.input === undefined ? {} : { input: options.input }),
      env: { ...process.env, ...options.env },
    });
  const theirs = (args: readonly string[]) => runEtcdctl("3.5", etcd.endpoints, args);
  const start = (who: "ours" | "theirs", args: readonly string[]): ProcessHandle => {
    if (who === "ours") return startProcess(process.execPath, [MAIN, endpoints(), ...args], { name: "ours" });
    if (!client.ok) throw new Error(client.reason);
    return startProcess(client.binary("etcdctl"), [endpoints(), ...args], { name: "theirs", env: client.env });
  };
  const put = (key: string, value: string) => ours([endpoints(), "put", key, value]);

  it("reads a value from standard input and writes any bytes back", async () => {
    expect((await ours([endpoints(), "put", "stdin"], { input: "line 1\nline 2\n" })).stdout).toBe("OK\n");
    expect((await ours([endpoints(), "get", "stdin", "--print-value-only"])).stdout).toBe("line 1\nline 2\n\n");
    expect((await theirs(["get", "stdin"])).stdout).toBe("stdin\nline 1\nline 2\n\n");
  });

  it.each([[["get", "p", "--prefix"]], [["lease", "list"]], [["member", "list"]]])(
    "%j gives the same bytes with -w protobuf or json",
    async (args) => {
      await put("p1", "v");
      for (const format of ["json", "protobuf"]) {
        if (args[0] === "lease" && format === "protobuf") continue; // upstream has none
        const all = await Promise.all([ours([endpoints(), ...args, "-w", format]), theirs([...args, "-w", format])]);
        expect(all[0].stdout).toBe(all[1].stdout);
        expect(all[0].code).toBe(0);
      }
    },
  );

  it.each(["simple", "json", "fields"])("watches as upstream does, -w %s", async (format) => {
    const key = `w-${format}/`;
    await put(`${key}a`, "1");
    const { stdout } = await ours([endpoints(), "get", `${key}a`, "-w", "json"]);
    const rev = /"mod_revision":(\d+)/.exec(stdout)?.[1] ?? "1";
    await put(`${key}a`, "2");
    await ours([endpoints(), "txn"], { input: `\nput ${key}b x\nput ${key}c y\n\n\n` });
    await ours([endpoints(), "del", `${key}a`]);
    await put(`${key}z`, "end");
    const args = ["watch", key, "--prefix", "--prev-kv", `--rev=${rev}`, "-w", format];
    const outputs = await Promise.all(
      (["ours", "theirs"] as const).map(async (who) => {
        await using process = start(who, args);
        const end = format === "json" ? /ZW5k/ : /end/;
        await process.waitForLine(end);
        return process.output("stdout");
      }),
    );
    // What follows the last value may not have been read yet.
    const untilEnd = (lines: string[]) => lines.slice(0, lines.findIndex((line) => line.includes("end")) + 1);
    // A catching-up watch may get several revisions in one response; the header tells when it was sent.
    const events = (text: string) =>
      format === "json"
        ? text
            .trim()
            .split("\n")
            .flatMap((line) => (JSON.parse(line) as { Events: unknown[] }).Events)
        : untilEnd(
            text.split("\n").filter((line) => line !== "" && !/^"(ClusterID|MemberID|Revision|RaftTerm)"/.test(line)),
          );
    expect(events(outputs[0] ?? "").slice(0, -1)).toEqual(
      events(outputs[1] ?? "").slice(0, events(outputs[0] ?? "").length - 1),
    );
  });

  it("runs a command for each event", async () => {
    const script = 'echo "got $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE"';
    await put("exec", "v 1");
    const { stdout } = await ours([endpoints(), "get", "exec", "-w", "json"]);
    const rev = /"mod_revision":(\d+)/.exec(stdout)?.[1] ?? "1";
    await using process = start("ours", ["watch", "exec", `--rev=${rev}`, "--", "sh", "-c", script]);
    await process.waitForLine(/^got "PUT" "exec" "v 1"$/);
  });

  it("watches interactively", async () => {
    const { stdout } = await put("int", "one");
    expect(stdout).toBe("OK\n");
    const result = await ours([endpoints(), "watch", "-i"], { input: "nonsense\nwatch\n" });
    expect(result.code).toBe(3);
    expect(result.stderr).toBe(
      "Invalid command nonsense (only support watch)\nInvalid command watch (command type or key is not provided)\n" +
        "Error: error reading watch request line: EOF\n",
    );
  });

  it.each([
    ["ours", "theirs"],
    ["theirs", "ours"],
  ] as const)("queues for a lock: %s holds, %s waits", async (first, second) => {
    const name = `lock-${first}`;
    await using holder = start(first, ["lock", name]);
    const key = await holder.waitForLine(new RegExp(`^${name}/[0-9a-f]+$`));
    await using waiter = start(second, ["lock", name]);
    const contenders = async () =>
      (await theirs(["get", `${name}/`, "--prefix", "--keys-only"])).stdout.split("\n\n").length > 2 ? true : undefined;
    await eventually(contenders, { what: "two contenders" });
    expect(waiter.output("stdout")).toBe("");
    holder.kill("SIGINT");
    expect((await holder.waitForExit()).code).toBe(0);
    expect((await waiter.waitForLine(new RegExp(`^${name}/`)))[0]).not.toBe(key[0]);
    waiter.kill("SIGTERM");
    expect((await waiter.waitForExit()).code).toBe(0);
  });

  it("runs a command under a lock and passes its exit code on", async () => {
    const script = 'echo "$ETCD_LOCK_KEY $ETCD_LOCK_REV"; exit 7';
    const result = await ours([endpoints(), "lock", "job", "--", "sh", "-c", script]);
    expect(result.code).toBe(7);
    expect(result.stdout).toMatch(/^job\/[0-9a-f]+ \d+\n$/);
    expect((await theirs(["get", "job/", "--prefix", "--count-only", "-w", "fields"])).stdout).toContain('"Count" : 0');
  });

  it("elects and listens together with upstream", async () => {
    await using listener = start("ours", ["elect", "-l", "e"]);
    await using first = start("theirs", ["elect", "e", "host-1"]);
    await first.waitForLine(/^host-1$/);
    await listener.waitForLine(/^host-1$/);
    await using second = start("ours", ["elect", "e", "host-2"]);
    first.kill("SIGINT");
    await second.waitForLine(/^host-2$/);
    await listener.waitForLine(/^host-2$/);
    second.kill("SIGINT");
    expect((await second.waitForExit()).code).toBe(0);
  });

  it("saves a snapshot with its checksum, or nothing", async () => {
    const { mkdtemp, readdir, readFile, rm } = await import("node:fs/promises");
    const { createHash } = await import("node:crypto");
    const dir = await mkdtemp("/tmp/keelson-etcdctl-");
    try {
      const path = join(dir, "s.db");
      expect((await ours([endpoints(), "snapshot", "save", path])).stdout).toBe(`Snapshot saved at ${path}\n`);
      const file = await readFile(path);
      expect(file.length % 512).toBe(32);
      expect(createHash("sha256").update(file.subarray(0, -32)).digest()).toEqual(file.subarray(-32));
      const failed = await ours(["--endpoints=127.0.0.1:1", "snapshot", "save", join(dir, "t.db")]);
      expect(failed.code).toBeGreaterThan(0);
      expect(await readdir(dir)).toEqual(["s.db"]);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  it("refuses unknown flags and words with exit code 1 and says where help is", async () => {
    const flag = await ours([endpoints(), "put", "--nosuch", "a", "b"]);
    const upstream = await theirs(["put", "--nosuch", "a", "b"]);
    expect([flag.code, flag.stderr.split("\n")[0]]).toEqual([upstream.code, upstream.stderr.split("\n")[0]]);
    expect((await ours(["nosuch"])).stderr).toBe(
      `Error: unknown command "nosuch" for "etcdctl"\nRun 'etcdctl --help' for usage.\n`,
    );
    expect((await ours(["lease", "nosuch"])).code).toBe(1);
    expect((await ours(["get", "a", "--command-timeout=x"])).stderr).toContain('time: invalid duration "x"');
  });

  it("takes flags from the environment, and refuses both at once", async () => {
    await put("env", "v");
    const env = { ETCDCTL_ENDPOINTS: etcd.endpoints.join(","), ETCDCTL_WRITE_OUT: "fields" };
    expect((await ours(["get", "env"], { env })).stdout).toContain('"Key" : "env"');
    const both = await ours([endpoints(), "get", "env"], { env });
    expect([both.code, both.stderr]).toEqual([
      1,
      expect.stringContaining('conflicting environment variable "ETCDCTL_ENDPOINTS" is shadowed'),
    ]);
  });

  it("fails soon and clearly when nothing listens", async () => {
    const result = await ours(["--endpoints=127.0.0.1:1", "get", "a"]);
    expect([result.code, result.stderr]).toEqual([
      1,
      "Error: none of the etcd endpoints can be reached: 127.0.0.1:1\n",
    ]);
    const health = await ours(["--endpoints=127.0.0.1:1", "--command-timeout=1s", "endpoint", "health"]);
    expect(health.code).toBe(1);
    expect(health.stderr).toMatch(
      /^127\.0\.0\.1:1 is unhealthy: failed to commit proposal: .+\nError: unhealthy cluster\n$/,
    );
  });
});

describe("without a server", () => {
  const ours = (...args: string[]) => runProcess(process.execPath, [MAIN, ...args], { timeoutMs: 30_000 });

  it("prints its version in upstream's form", async () => {
    expect((await ours("version")).stdout).toMatch(/^etcdctl version: \d+\.\d+\.\d+\nAPI version: \d+\.\d+\n$/);
  });

  it("gives help with examples for every command", async () => {
    expect((await ours("--help")).stdout).toContain("endpoint");
    expect((await ours("put", "--help")).stdout).toContain("etcdctl put foo bar");
    expect((await ours("lease")).stdout).toContain("keep-alive");
    expect((await ours("lease", "grant", "-h")).stdout).toContain("etcdctl lease grant 60");
  });

  it.each(["bash", "zsh", "fish"])("writes a completion script for %s", async (shell) => {
    const { stdout, code } = await ours("completion", shell);
    expect(code).toBe(0);
    expect(stdout).toContain("timetolive");
  });

  it("completes words in bash", async () => {
    const { stdout } = await ours("completion", "bash");
    const words = `${stdout}\nCOMP_WORDS=(etcdctl lease ke); COMP_CWORD=2; _etcdctl; echo "\${COMPREPLY[@]}"`;
    expect((await runProcess("bash", ["-c", words])).stdout).toBe("keep-alive\n");
  });

  it("starts quickly as a bundle", async () => {
    const { mkdtemp, rm } = await import("node:fs/promises");
    const dir = await mkdtemp("/tmp/keelson-etcdctl-");
    try {
      const app = join(import.meta.dirname, "..");
      const built = await runProcess(process.execPath, [join(app, "../../scripts/bundle.ts"), app, dir], {
        timeoutMs: 60_000,
      });
      expect(built.stderr).toBe("");
      const time = async (args: readonly string[]) => {
        const startMs = performance.now();
        expect((await runProcess(process.execPath, args)).code).toBe(0);
        return performance.now() - startMs;
      };
      const over: number[] = [];
      for (let i = 0; i < 9; i++) {
        const bare = await time(["-e", "0"]);
        over.push((await time([join(dir, "etcdctl.mjs"), "version"])) - bare);
      }
      const median = over.toSorted((a, b) => a - b)[4] ?? 0;
      process.stdout.write(`etcdctl version: ${median.toFixed(0)} ms over an empty Node script (median of 9)\n`);
      // One file of 1.1 MB: most of it is reading the part that `version` never runs. See the README.
      expect(median).toBeLessThan(250);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
});
