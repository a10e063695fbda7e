import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { systemdContainerProblem } from "../src/index.ts";
import { run } from "../src/run.ts";

const examples = [...readFileSync(join(import.meta.dirname, "../README.md"), "utf8").matchAll(/```ts\n(.*?)```/gs)].map(
  (m) => m[1] ?? "",
);

/** Runs an example's own text in a process of its own. */
async function runExample(index: number): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "keelson-readme-"));
  // Beside this file, so that the package finds itself by name.
  const file = join(import.meta.dirname, `.readme-${index}-${process.pid}.ts`);
  try {
    const source = `const directory = ${JSON.stringify(directory)};\n${examples[index]}`;
    writeFileSync(file, source.replaceAll('"@keelson/linux"', '"../src/index.ts"'));
    return (await run([process.execPath, file])).stdout;
  } finally {
    rmSync(file, { force: true });
    rmSync(directory, { recursive: true, force: true });
  }
}

it("runs the README's unit", async () => {
  expect(await runExample(0)).toMatch(/^done\n.* echo\[\d+\]: hello from hello\.service\n$/);
});

it.skipIf(systemdContainerProblem("/lib/systemd/systemd") !== undefined)("boots the README's machine", async () => {
  expect(await runExample(1)).toBe("running\nm1\n");
});
