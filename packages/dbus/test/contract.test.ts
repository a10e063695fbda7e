import type { SystemdContainer } from "@keelson/linux";
import { unitManagerContract } from "@keelson/unit/contract";
import { afterAll, beforeAll, describe } from "vitest";
import { bootMachine, openManager, problem } from "./machine.ts";

describe.skipIf(problem !== undefined)("on real systemd", () => {
  let machine: SystemdContainer;
  let count = 0;
  beforeAll(async () => {
    machine = await bootMachine();
    const version = (await machine.exec(["systemctl", "--version"])).stdout.split("\n")[0];
    process.stderr.write(`SystemdUnitManager against ${version}\n`);
  });
  afterAll(async () => {
    await machine?.kill();
  });

  unitManagerContract(
    "SystemdUnitManager",
    async () => {
      let manager = openManager(machine);
      return {
        manager,
        prefix: `d${++count}`,
        scratch: "/run/scratch",
        async reopen() {
          await manager[Symbol.asyncDispose]();
          manager = openManager(machine);
          return manager;
        },
        async isAlive(pid) {
          const live = await machine.exec(["grep", "-q", "^State:[[:space:]]*[^ZX]", `/proc/${pid}/status`], {
            check: false,
          });
          return live.exitCode === 0;
        },
        async [Symbol.asyncDispose]() {
          await manager[Symbol.asyncDispose]();
        },
      };
    },
    { outlivesClients: true, killsEscapedProcesses: true },
  );
});
