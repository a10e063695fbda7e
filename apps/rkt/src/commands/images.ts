import { stat } from "node:fs/promises";
import {
  ago,
  formatTable,
  type ImageProgress,
  type InsecureOption,
  isPlainHttpAllowed,
  type StoredImage,
} from "@keelson/runtime";
import { formatErrorChain } from "@keelson/types";
import { CommandError, type Context, FAILURE } from "../io.ts";
import { checkFormat, type ListOptions, toJson } from "./inspect.ts";

/** Options of `rkt fetch`. */
export interface FetchOptions {
  readonly isFull: boolean;
  readonly insecure: readonly string[];
  readonly pullPolicy: string;
  /** What an image of a layout or archive is called here. */
  readonly name?: string;
}

/** `rkt fetch IMAGE…`: prints each image's id. An image is a name, or the path of an OCI layout or of an archive. */
export async function fetchImages(context: Context, words: readonly string[], options: FetchOptions): Promise<number> {
  if (words.length === 0)
    throw new CommandError("give the images to fetch, as in: rkt fetch docker://registry.example/web:1");
  const store = await context.images();
  for (const word of words) {
    const name = word.replace(/^docker:\/\//, "");
    const request = { signal: context.io.signal, onProgress: progress(context, name) };
    const path = localPath(word);
    if (path !== undefined) {
      const isDirectory = (await stat(path).catch(() => undefined))?.isDirectory();
      if (isDirectory === undefined) throw new CommandError(`${path} is not there`);
      const named = { ...request, ...(options.name === undefined ? {} : { name: options.name }) };
      const images = isDirectory ? await store.importLayout(path, named) : await store.importArchive(path, named);
      for (const image of images) context.io.out(`${idOf(image, options.isFull)}\n`);
      continue;
    }
    const here = options.pullPolicy === "new" ? await store.get(name).catch(() => undefined) : undefined;
    const image =
      here ??
      (await store.pull(name, {
        ...request,
        isPlainHttpAllowed: isPlainHttpAllowed(new Set(options.insecure as InsecureOption[])),
      }));
    context.io.out(`${idOf(image, options.isFull)}\n`);
  }
  return 0;
}

/** `/a/path`, `./a/path`, `oci:path`, `oci-archive:path`, `docker-archive:path`. */
function localPath(word: string): string | undefined {
  const scheme = /^(?:oci|oci-archive|docker-archive|file):(?:\/\/)?(.+)$/.exec(word);
  if (scheme !== null) return scheme[1];
  return word.startsWith("/") || word.startsWith("./") || word.startsWith("../") ? word : undefined;
}

function idOf(image: StoredImage, isFull: boolean): string {
  return isFull ? image.id : image.id.slice(0, "sha256:".length + 32).replace(":", "-");
}

/** A line for each layer on a terminal, nothing elsewhere. */
function progress(context: Context, name: string): (event: ImageProgress) => void {
  if (!context.io.isWatched) return () => {};
  const short = (digest: string) => digest.slice(7, 19);
  return (event) => {
    if (event.kind === "resolved") context.io.err(`${name}: ${event.layers} layers, ${mebibytes(event.blobBytes)}`);
    else if (event.kind === "layer-exists") context.io.err(`  ${short(event.diffId)} is here`);
    else if (event.kind === "layer-done") context.io.err(`  ${short(event.diffId)} ${mebibytes(event.size)}`);
  };
}

/** `rkt image list`. */
export async function listImages(context: Context, options: ListOptions): Promise<number> {
  const images = await (await context.images()).list();
  const format = checkFormat(options.format);
  if (format !== undefined) {
    context.io.out(
      toJson(
        images.map(({ id, names, size, importedAt }) => ({ id, names, size, import_time: importedAt })),
        format,
      ),
    );
    return 0;
  }
  const rows = images.map(({ id, names, size, importedAt }) => [
    options.isFull ? id : id.slice(0, 19).replace(":", "-"),
    names[0] ?? "<none>",
    mebibytes(size),
    options.isFull ? importedAt : ago(Date.parse(importedAt), context.io.nowMs()),
  ]);
  context.io.out(formatTable([...(options.hasLegend ? [["ID", "NAME", "SIZE", "IMPORT TIME"]] : []), ...rows]));
  return 0;
}

/** `rkt image rm IMAGE…`. */
export async function removeImages(context: Context, words: readonly string[]): Promise<number> {
  if (words.length === 0) throw new CommandError("give the images to remove, by id (or its beginning) or name");
  const store = await context.images();
  let exitCode = 0;
  for (const word of words) {
    try {
      const { id } = await store.remove(word.replace(/^docker:\/\//, ""));
      context.io.out(`${id}\n`);
    } catch (error) {
      context.io.err(`image rm: ${formatErrorChain(error)}`);
      exitCode = FAILURE;
    }
  }
  return exitCode;
}

/** `rkt image gc`: images that no pod needs and that were not used for a while. */
export async function collectImages(context: Context, graceMs: number): Promise<number> {
  const { removed, freedBytes } = await (await context.images()).gc({ graceMs });
  for (const id of removed) context.io.err(`removed image ${id}`);
  context.io.err(`${removed.length} images removed, ${mebibytes(freedBytes)} freed`);
  return 0;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
