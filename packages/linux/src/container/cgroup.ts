import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ContainerError, UnsupportedError } from "../errors.ts";

/**
 * Where this machine's cgroup2 hierarchy is mounted: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` on hybrid machines.
 *
 * @throws UnsupportedError when there is none
 */
export function findCgroup2(mounts = readFileSync("/proc/self/mounts", "utf8")): string {
  for (const line of mounts.split("\n")) {
    const [, target, type] = line.split(" ");
    if (type === "cgroup2" && target !== undefined) return target;
  }
  throw new UnsupportedError(
    "no cgroup2 hierarchy is mounted; mount one with: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
  );
}

/** A cgroup2 directory of our own. */
export class Cgroup {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  static create(name: string): Cgroup {
    const path = join(findCgroup2(), name);
    mkdirSync(path);
    return new Cgroup(path);
  }

  /** Freezes or thaws every process in it and below, and waits until that is so. */
  async setFrozen(frozen: boolean, timeoutMs = 5000): Promise<void> {
    writeFileSync(join(this.path, "cgroup.freeze"), frozen ? "1" : "0");
    const want = `frozen ${frozen ? 1 : 0}`;
    const deadline = performance.now() + timeoutMs;
    while (!readFileSync(join(this.path, "cgroup.events"), "utf8").split("\n").includes(want)) {
      if (performance.now() > deadline)
        throw new ContainerError(`${this.path} did not become "${want}" within ${timeoutMs} ms`);
      await delay(5);
    }
  }

  /**
   * Lets frozen processes run on, without waiting. A PID namespace whose PID 1 was killed waits for its frozen processes
   * for ever: they must be thawed to meet their signal.
   */
  thaw(): void {
    const freeze = join(this.path, "cgroup.freeze");
    if (existsSync(freeze)) writeFileSync(freeze, "0");
  }

  /** Kills every process in it and below. */
  kill(): void {
    const kill = join(this.path, "cgroup.kill"); // since Linux 5.14
    if (existsSync(kill)) writeFileSync(kill, "1");
    this.thaw();
  }

  /** Kills what is left in it, and removes it with everything below. */
  async remove(timeoutMs = 5000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (existsSync(this.path)) {
      try {
        this.kill();
        removeTree(this.path);
      } catch (cause) {
        // EBUSY until the kernel has let go of the killed processes.
        if (performance.now() > deadline)
          throw new ContainerError(`the cgroup ${this.path} cannot be removed`, { path: this.path }, { cause });
        await delay(10);
      }
    }
  }
}

/** Children first; the files in a cgroup go with it. */
function removeTree(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(path, entry.name));
  }
  rmdirSync(path);
}
