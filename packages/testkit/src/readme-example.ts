import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ProgramError } from "./errors.ts";
import { type RunResult, runProcess } from "./process-handle.ts";

/**
 * Runs the first `ts` code block of a package's README.md as a program of that package and returns what it printed; a
 * README whose example fails fails its test. `dir` is the package's folder. The program is left under `out/`.
 */
export async function runReadmeExample(dir: string): Promise<RunResult> {
  const readme = await readFile(join(dir, "README.md"), "utf8");
  const code = /```ts\n([\s\S]*?)```/.exec(readme)?.[1];
  if (code === undefined) throw new ProgramError(`${dir}/README.md has no ts code block`, { dir });
  const file = join(dir, "out", "readme-example.ts");
  await mkdir(join(dir, "out"), { recursive: true });
  await writeFile(file, code);
  const result = await runProcess(process.execPath, [file], { cwd: dir });
  if (result.code !== 0) throw new ProgramError(`the example of ${dir}/README.md fails: ${result.stderr}`, { dir });
  return result;
}
