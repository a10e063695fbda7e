import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whyNotBuild } from "@keelson/image-builder";
import { afterAll, describe } from "vitest";
import { createQemuProvider, whyNotQemu } from "../src/qemu/index.ts";
import { processesWith } from "./contract/bench.ts";
import { machineProviderContract } from "./contract.ts";

// Minutes under emulation, and e2e scenarios try most of it on VMs anyway: for who changes the provider.
const wanted = process.env["KEELSON_VM_CONTRACT"] === "1" ? undefined : "KEELSON_VM_CONTRACT=1 is not set";
const problem = wanted ?? whyNotQemu() ?? whyNotBuild();
if (problem !== undefined) process.stdout.write(`the contract is not run on VMs: ${problem}\n`);

describe.skipIf(problem !== undefined)("VMs", () => {
  const outer = tmpdir();
  const own = mkdtempSync(join(outer, "kvc-"));
  process.env["TMPDIR"] = own;
  afterAll(() => {
    process.env["TMPDIR"] = outer;
    rmSync(own, { recursive: true, force: true });
  });

  machineProviderContract("VMs", 10, {
    create: (services = {}) => createQemuProvider({ services, disk: "volatile-cache" }),
    leftovers: async () => [
      ...readdirSync(own),
      ...(existsSync("/run/netns") ? readdirSync("/run/netns") : []).filter((name) =>
        name.startsWith(`keelson-${process.pid}-`),
      ),
      ...((await processesWith(own)) > 0 ? ["processes"] : []),
    ],
  });
});
