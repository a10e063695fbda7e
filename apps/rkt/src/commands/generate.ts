import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { renderContainerUnit } from "@keelson/runtime";
import { formatErrorChain } from "@keelson/types";
import { CommandError, type Context, FAILURE } from "../io.ts";

/** Where `.container` files are, the most important first. Source: podman-systemd.unit(5). */
const SOURCES: readonly string[] = [
  "/run/containers/systemd",
  "/etc/containers/systemd",
  "/usr/share/containers/systemd",
];
const SUFFIX = ".container";

/** `rkt generate FILE.container`: prints the service. */
export async function generate(context: Context, words: readonly string[]): Promise<number> {
  const [path] = words;
  if (path === undefined || words.length > 1 || !path.endsWith(SUFFIX))
    throw new CommandError("give one file whose name ends in .container");
  context.io.out(renderContainerUnit(basename(path, SUFFIX), await read(path)));
  return 0;
}

/**
 * `rkt generate --keep`: renders all files of this machine into `directory`, for rkt-generator. The source is written
 * after what was made of it: a service whose source is not there, or another, is not used.
 */
export async function keepGenerated(
  context: Context,
  directory: string,
  sources: readonly string[] = SOURCES,
): Promise<number> {
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const seen = new Set<string>();
  let exitCode = 0;
  for (const source of sources) {
    const files = (await readdir(source).catch(() => [])).filter((file) => file.endsWith(SUFFIX) && !seen.has(file));
    for (const file of files) {
      seen.add(file);
      const name = basename(file, SUFFIX);
      try {
        const text = await read(join(source, file));
        const unit = renderContainerUnit(name, text);
        await rm(join(directory, file), { force: true });
        await replace(join(directory, `${name}.service`), unit);
        await replace(join(directory, file), text);
      } catch (error) {
        context.io.err(`rkt: ${formatErrorChain(error)}`);
        exitCode = FAILURE;
      }
    }
  }
  for (const file of await readdir(directory)) {
    const name = file.replace(/\.(container|service)$/, "");
    if (!seen.has(`${name}${SUFFIX}`)) await rm(join(directory, file), { force: true });
  }
  return exitCode;
}

async function replace(path: string, content: string): Promise<void> {
  await writeFile(`${path}.new`, content, { mode: 0o644, flush: true });
  await rename(`${path}.new`, path);
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new CommandError(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}
