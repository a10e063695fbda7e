import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findCgroup2 } from "../src/container/cgroup.ts";
import { sweepContainers } from "../src/container/records.ts";
import {
  SystemdContainer,
  type SystemdContainerOptions,
  systemdContainerProblem,
} from "../src/container/systemd-container.ts";
import { run } from "../src/run.ts";

const problem = systemdContainerProblem("/lib/systemd/systemd");
if (problem !== undefined) process.stderr.write(`skipping the tests of SystemdContainer: ${problem}\n`);

/** Host's own programs, nothing that a real machine would start beyond the basics. */
const BASIC = ["systemd.unit=basic.target", "fstab=no", "systemd.getty_auto=no", "systemd.mask=timers.target"];

describe.skipIf(problem !== undefined)("SystemdContainer", () => {
  let directory: string;
  let options: SystemdContainerOptions;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "keelson-ct-"));
    options = { lowerdirs: ["/"], hostname: "box", arguments: BASIC, stateDirectory: join(directory, "state") };
  });
  afterEach(async () => {
    expect(leftovers(directory)).toEqual([]);
    rmSync(directory, { recursive: true, force: true });
  });

  it("boots real systemd as its own machine, and its end leaves nothing", async () => {
    const source = join(directory, "shared");
    mkdirSync(source);
    writeFileSync(join(source, "file"), "from the host\n");
    const machineId = "0123456789abcdef0123456789abcdef";
    const started = performance.now();
    await using box = await SystemdContainer.start({
      ...options,
      machineId,
      binds: [{ source, target: "/srv/shared", readOnly: true }],
      credentials: { greeting: "hello" },
    });
    expect(await box.waitBoot()).toBe("running");
    process.stderr.write(`systemd container: booted in ${Math.round(performance.now() - started)} ms\n`);
    const script =
      "hostname; cat /etc/machine-id; cat /proc/1/comm; cat /srv/shared/file; ls /sys/class/net; systemctl is-active dbus.socket";
    const { stdout } = await box.exec(["sh", "-c", script]);
    expect(stdout.split("\n").slice(0, -1)).toEqual(["box", machineId, "systemd", "from the host", "lo", "active"]);
    expect((await box.exec(["sh", "-c", "touch /srv/shared/x"], { check: false })).exitCode).not.toBe(0);
    const told = await box.exec(["cat", "/run/credentials/@system/greeting"]);
    expect(told.stdout).toBe("hello");
    await expect(box.exec(["false"])).rejects.toMatchObject({ code: "ERR_COMMAND" });
    await box.kill();
    expect(box.isRunning).toBe(false);
    await expect(box.exec(["true"])).rejects.toMatchObject({ code: "ERR_CONTAINER" });
    expect(existsSync("/etc/machine-id") && readFileSync("/etc/machine-id", "utf8")).not.toBe(`${machineId}\n`);
  });

  it("stands still while it is paused", async () => {
    await using box = await SystemdContainer.start(options);
    await box.waitBoot();
    await box.exec(["systemd-run", "--unit=ticker", "sh", "-c", "while :; do date +%N >/run/tick; sleep 0.01; done"]);
    const tick = () => readFileSync(`/proc/${box.pid}/root/run/tick`, "utf8");
    await expect.poll(() => existsSync(`/proc/${box.pid}/root/run/tick`), { timeout: 10_000 }).toBe(true);
    await box.pause();
    const before = tick();
    await new Promise((resolve) => setTimeout(resolve, 100)); // the absence of a change needs time to pass
    expect(tick()).toBe(before);
    await box.resume();
    await expect.poll(tick, { timeout: 10_000 }).not.toBe(before);
    await box.pause();
    await box.kill(); // power can be cut in any state
  });

  it("keeps its disk over a power cut when it has one, and shuts down in order", async () => {
    const disk = join("/dev/shm", `keelson-ct-${process.pid}`);
    try {
      for (const want of ["", "kept\n"]) {
        await using box = await SystemdContainer.start({ ...options, overlay: disk });
        await box.waitBoot();
        expect((await box.exec(["sh", "-c", "cat /var/note 2>/dev/null; echo kept >/var/note; sync"])).stdout).toBe(
          want,
        );
        await box.exec([
          "systemd-run",
          "-p",
          "ExecStop=/bin/sh -c 'echo stopped >>/var/stops'",
          "--unit=last",
          "sleep",
          "1000",
        ]);
        await box.poweroff();
        expect(box.isRunning).toBe(false);
      }
      expect(readFileSync(join(disk, "upper/var/stops"), "utf8")).toBe("stopped\nstopped\n");
    } finally {
      rmSync(disk, { recursive: true, force: true });
    }
  });

  it("is cleaned up by the next start when its owner was killed", async () => {
    const script = `
      const { SystemdContainer } = await import(${JSON.stringify(join(import.meta.dirname, "../src/index.ts"))});
      const box = await SystemdContainer.start(${JSON.stringify(options)});
      console.log(box.pid);
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(owner.stdout, "data")) as [Buffer];
    const pid = Number(line.toString());
    expect(await sweepContainers(join(directory, "state"))).toEqual([]); // its owner lives
    expect(readFileSync(`/proc/${pid}/comm`, "utf8")).toBe("systemd\n");
    owner.kill("SIGKILL");
    await once(owner, "exit");
    expect(leftovers(directory).length).toBeGreaterThan(0);
    expect(await sweepContainers(join(directory, "state"))).toHaveLength(1);
    await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false); // its own parent reaps it in its own time
  });

  it.each([
    ["a bad host name", { hostname: "no spaces" }, "its host name must be"],
    ["a bad machine id", { machineId: "xyz" }, "its machine id must be 32"],
    ["no root", { lowerdirs: ["/nonexistent"] }, "its root /nonexistent does not exist"],
    ["two roots", { rootfs: "/" }, "give one of rootfs and lowerdirs"],
    [
      "a missing bind",
      { binds: [{ source: "/nonexistent", target: "/x" }] },
      "the bind source /nonexistent does not exist",
    ],
    ["a missing init", { init: "/nonexistent" }, "could not be prepared"],
    ["a missing network", { netns: "nonexistent" }, "could not be prepared"],
  ])("refuses %s and leaves nothing", async (_title, change, message) => {
    await expect(SystemdContainer.start({ ...options, ...change })).rejects.toThrow(message);
  });

  it("uses a named network", async () => {
    const netns = `kt-${process.pid}`;
    await run(["ip", "netns", "add", netns]);
    try {
      await run(["ip", "-n", netns, "link", "add", "name", "wire", "type", "bridge"]);
      await using box = await SystemdContainer.start({ ...options, netns });
      expect((await box.exec(["ls", "/sys/class/net"])).stdout.split("\n")).toContain("wire");
    } finally {
      await run(["ip", "netns", "del", netns]);
    }
  });
});

/** Whatever a container of this test left on the host. */
function leftovers(directory: string): string[] {
  const state = join(directory, "state");
  return [
    ...readdirSync(findCgroup2()).filter((name) => name.startsWith("keelson-box-")),
    ...readdirSync(tmpdir()).filter((name) => name.startsWith("keelson-box-")),
    ...(existsSync(state) ? readdirSync(state) : []),
    ...readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes("keelson-box-")),
  ];
}
