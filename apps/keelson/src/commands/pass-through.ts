import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Command } from "commander";

/** `keelson etcdctl …` and `keelson fleetctl …`: the repository's own tools, so that nothing need be installed. */
export function passThrough(): Command[] {
  return ["etcdctl", "fleetctl", "osctl"].map((name) =>
    new Command(name)
      .summary(`run the repository's ${name}`)
      .helpOption(false)
      .allowUnknownOption()
      .passThroughOptions()
      .argument("[arguments...]", `arguments of ${name}`)
      .action(async (args: string[]) => {
        const main = fileURLToPath(new URL(`../../../${name}/src/main.ts`, import.meta.url));
        const child = spawn(process.execPath, [main, ...args], { stdio: "inherit" });
        const [code] = (await once(child, "exit")) as [number | null];
        process.exitCode = code ?? 1;
      }),
  );
}
