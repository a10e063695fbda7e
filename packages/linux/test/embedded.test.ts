import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unitManagerContract } from "@keelson/unit/contract";
import { EmbeddedUnitManager } from "../src/embedded/manager.ts";
import { isLive, readProcessStat } from "../src/proc.ts";

let count = 0;

unitManagerContract(
  "EmbeddedUnitManager",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "keelson-embedded-"));
    let manager = await EmbeddedUnitManager.open({ directory });
    return {
      manager,
      prefix: `c${++count}`,
      scratch: directory,
      async reopen() {
        await manager[Symbol.asyncDispose]();
        manager = await EmbeddedUnitManager.open({ directory });
        return manager;
      },
      async isAlive(pid) {
        const stat = readProcessStat(pid);
        return stat !== undefined && isLive(stat);
      },
      async [Symbol.asyncDispose]() {
        await manager[Symbol.asyncDispose]();
        rmSync(directory, { recursive: true, force: true });
      },
    };
  },
  { outlivesClients: false, killsEscapedProcesses: process.platform === "linux" },
);
