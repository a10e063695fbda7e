import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "@keelson/linux";
import { expect, it } from "vitest";
import { bootMachine, managerOptions, problem } from "./machine.ts";

it.skipIf(problem !== undefined)("runs the README's example", async () => {
  const example = /```ts\n(.*?)```/s.exec(readFileSync(join(import.meta.dirname, "../README.md"), "utf8"))?.[1] ?? "";
  const file = join(import.meta.dirname, `.readme-${process.pid}.ts`);
  await using machine = await bootMachine();
  try {
    const source = example
      .replace('"@keelson/dbus"', '"../src/index.ts"')
      .replace("SystemdUnitManager()", `SystemdUnitManager(${JSON.stringify(managerOptions(machine))})`);
    writeFileSync(file, source);
    expect((await run([process.execPath, file])).stdout).toBe("done\n");
  } finally {
    rmSync(file, { force: true });
  }
});
