import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { ProcessProvider } from "../src/index.ts";
import { processesWith } from "./contract/bench.ts";
import { machineProviderContract } from "./contract.ts";

// Temporary directories of this process's providers only: other suites may run beside this one.
const prefix = `keelson-p${process.pid}-`;

machineProviderContract("processes", 1, {
  create: async (services = {}) => new ProcessProvider({ prefix, services }),
  leftovers: async () => {
    const directories = (await readdir(tmpdir())).filter((name) => name.startsWith(prefix));
    return (await processesWith(prefix)) > 0 ? [...directories, "processes"] : directories;
  },
});
