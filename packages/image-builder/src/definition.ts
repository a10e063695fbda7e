import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { formatErrorChain } from "@keelson/types";
import { z } from "zod";
import { ImageDefinitionError } from "./errors.ts";

const word = z.string().regex(/^[a-z0-9][a-z0-9+.-]*$/, "letters, digits, + . - only");

const settingsSchema = z.strictObject({
  name: word,
  suite: word,
  components: z.array(word).min(1),
  architecture: z.literal("amd64"),
  /** Package whose dependency is the kernel; unpacked, not installed, since its scripts build an initramfs. */
  kernel: word,
  /** Package with a static busybox for the initramfs; unpacked there only. */
  initramfsTools: word,
  /** Package with systemd-boot; unpacked for the ESP only. */
  uefiLoader: word,
  /** Size of the ESP: boot loaders, and a kernel with its initramfs for each bootable deployment. */
  espMiB: z.int().min(64).max(4096),
  /** Size of the root file system; the file is sparse. */
  rootMiB: z
    .int()
    .min(512)
    .max(1 << 20),
});

/** The image as data: what `image/` says. */
export interface ImageDefinition {
  readonly directory: string;
  readonly settings: z.infer<typeof settingsSchema>;
  readonly packages: readonly string[];
  readonly drop: readonly string[];
  readonly excludes: readonly string[];
  readonly modules: readonly string[];
  /** The initramfs' first program: a path. */
  readonly initramfsInit: string;
  readonly initramfsModules: readonly string[];
  /** In the initramfs, for hardware that may be there. */
  readonly initramfsOptional: readonly string[];
  /** Kernel arguments of every node, as one line. */
  readonly kernelArguments: string;
  readonly masks: readonly string[];
  readonly generators: readonly string[];
  readonly udevRules: readonly string[];
}

/** The lines of a list file without comments and blanks. Pure. */
export function parseList(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.replace(/(^|\s)#.*$/, "").trim())
    .filter((line) => line !== "");
}

/** Reads `image/`. @throws {ImageDefinitionError} naming the file and the fault. */
export async function readDefinition(directory: string): Promise<ImageDefinition> {
  const text = async (name: string) => {
    try {
      return await readFile(join(directory, name), "utf8");
    } catch (cause) {
      throw new ImageDefinitionError(`cannot read ${join(directory, name)}`, {}, { cause });
    }
  };
  const list = async (name: string, shape = /^[^\s]+$/) => {
    const lines = parseList(await text(name));
    const seen = new Set<string>();
    for (const line of lines) {
      if (!shape.test(line)) throw new ImageDefinitionError(`${name}: ${JSON.stringify(line)} is not one name`);
      if (seen.has(line)) throw new ImageDefinitionError(`${name}: ${line} is there twice`);
      seen.add(line);
    }
    return lines;
  };
  return {
    directory,
    settings: parseSettings(await text("image.json"), join(directory, "image.json")),
    packages: await list("packages.txt", /^[a-z0-9][a-z0-9+.-]*$/),
    drop: await list("drop.txt", /^[a-z0-9][a-z0-9+.-]*$/),
    excludes: await list("excludes.txt", /^\/[^\s]+$/),
    modules: await list("modules.txt", /^\w+$/),
    initramfsInit: join(directory, "initramfs/init"),
    initramfsModules: await list("initramfs/modules.txt", /^\w+$/),
    initramfsOptional: await list("initramfs/optional.txt", /^\w+$/),
    kernelArguments: parseList(await text("kernel-arguments.txt")).join(" "),
    masks: await list("masks.txt", /^[^/\s]+\.[a-z]+$/),
    generators: await list("generators.txt", /^[^/\s]+$/),
    udevRules: await list("udev-rules.txt", /^[^/\s]+\.rules$/),
  };
}

function parseSettings(text: string, path: string): z.infer<typeof settingsSchema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ImageDefinitionError(`${path} is not JSON`, {}, { cause });
  }
  const parsed = settingsSchema.safeParse(json);
  if (!parsed.success) throw new ImageDefinitionError(`${path}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** SHA-256 over JSON of any values, for cache keys: equal inputs give equal names. Pure. */
export function keyOf(...parts: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 24);
}

/** SHA-256 over the names, modes and contents of the files below a folder. */
export async function hashTree(directory: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    const files = entries.filter((e) => e.isFile()).map((e) => join(e.parentPath, e.name));
    for (const file of files.toSorted()) {
      const content = await readFile(file);
      hash.update(`${relative(directory, file)}\0${content.length}\0`).update(content);
    }
  } catch (error) {
    throw new ImageDefinitionError(`cannot read ${directory}: ${formatErrorChain(error)}`, {}, { cause: error });
  }
  return hash.digest("hex");
}
