import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { UnitManager } from "@keelson/unit";
import { unitManagerContract } from "@keelson/unit/contract";
import { EmbeddedUnitManager } from "../src/embedded/manager.ts";
import { isLive, readProcessStat } from "../src/proc.ts";
import { connectUnitManager } from "../src/socket/connect.ts";
import { serveUnitManager } from "../src/socket/serve.ts";

let count = 0;

unitManagerContract(
  "EmbeddedUnitManager behind a socket",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "keelson-served-"));
    const socketPath = join(directory, "manager.sock");
    const embedded = await EmbeddedUnitManager.open({ directory });
    const server = await serveUnitManager(embedded, socketPath);
    let client: UnitManager = connectUnitManager(socketPath);
    return {
      manager: client,
      prefix: `s${++count}`,
      scratch: directory,
      async reopen() {
        await client[Symbol.asyncDispose]();
        client = connectUnitManager(socketPath);
        return client;
      },
      async isAlive(pid) {
        const stat = readProcessStat(pid);
        return stat !== undefined && isLive(stat);
      },
      async [Symbol.asyncDispose]() {
        await client[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
        await embedded[Symbol.asyncDispose]();
        rmSync(directory, { recursive: true, force: true });
      },
    };
  },
  { outlivesClients: true, killsEscapedProcesses: process.platform === "linux" },
);
