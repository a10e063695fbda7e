import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whyNotBuild } from "@keelson/image-builder";
import { CONTAINER_STATE_DIRECTORY } from "@keelson/linux";
import { afterAll, describe } from "vitest";
import { createContainerProvider, whyNotContainer } from "../src/container/index.ts";
import { machineProviderContract } from "./contract.ts";

const problem = whyNotContainer() ?? whyNotBuild();
if (problem !== undefined) process.stdout.write(`the contract is not run on containers: ${problem}\n`);

/** The files of a directory; none when it is not there. */
const list = (directory: string) => (existsSync(directory) ? readdirSync(directory) : []);

/** Cgroups that this process's containers had; only while a container lives is its record there. */
const cgroups = new Set<string>();

function ownContainers(): string[] {
  return list(CONTAINER_STATE_DIRECTORY).filter((file) => {
    try {
      const record = JSON.parse(readFileSync(join(CONTAINER_STATE_DIRECTORY, file), "utf8"));
      if (record.owner.pid !== process.pid) return false;
      cgroups.add(record.cgroup);
      return true;
    } catch {
      return false; // another process's, and gone by now
    }
  });
}

describe.skipIf(problem !== undefined)("containers", () => {
  // Everything temporary goes where no other suite puts anything.
  const outer = tmpdir();
  const own = mkdtempSync(join(outer, "keelson-cc-"));
  process.env["TMPDIR"] = own;
  afterAll(() => {
    process.env["TMPDIR"] = outer;
    rmSync(own, { recursive: true, force: true });
  });

  machineProviderContract("containers", 2, {
    create: (services = {}) => createContainerProvider({ services }),
    leftovers: async () => [
      ...ownContainers(),
      ...[...cgroups].filter((path) => existsSync(path)),
      ...list("/run/netns").filter((name) => name.startsWith(`keelson-${process.pid}-`)),
      ...list(own).filter((name) => name.startsWith("keelson-")),
      ...readFileSync("/proc/self/mounts", "utf8")
        .split("\n")
        .filter((line) => line.includes(own)),
    ],
  });
});
