import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { renderContainerUnit } from "@keelson/runtime";
import { CommandError, type Context } from "../io.ts";

/** `rkt generate FILE.container`: prints the service. */
export async function generate(context: Context, words: readonly string[]): Promise<number> {
  const [path] = words;
  if (path === undefined || words.length > 1 || !path.endsWith(".container"))
    throw new CommandError("give one file whose name ends in .container");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new CommandError(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  context.io.out(renderContainerUnit(basename(path, ".container"), text));
  return 0;
}
