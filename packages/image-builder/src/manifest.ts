import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ImageBuildError } from "./errors.ts";

export const MANIFEST_VERSION = 2;

/** What a build made, and of what: `manifest.json` beside the image. */
export interface ImageManifest {
  readonly manifestVersion: number;
  readonly name: string;
  readonly version: string;
  readonly suite: string;
  readonly architecture: string;
  readonly kernel: string;
  readonly node: string;
  readonly packages: number;
  readonly programs: readonly { readonly name: string; readonly bytes: number }[];
  /** Checksum of the OSTree commit that the disk has deployed. */
  readonly commit: string;
  /** `<commit>.<serial>`. */
  readonly deployment: string;
  /** The kernel arguments of its boot entry. */
  readonly options: string;
  /** Files of the ESP. */
  readonly esp: readonly { readonly path: string; readonly bytes: number }[];
  /** GPT id of the root partition. */
  readonly rootGuid: string;
  readonly sizes: {
    readonly rootfsBytes: number;
    readonly diskBytes: number;
    /** What the sparse disk file occupies. */
    readonly diskUsedBytes: number;
    readonly kernelBytes: number;
    readonly initramfsBytes: number;
  };
  readonly setuidFiles: number;
  /** Hashes of what went in. */
  readonly inputs: {
    readonly base: string;
    readonly definition: string;
    readonly programs: string;
    /** Of what makes this build differ from the repository's: version, overlay, first program. */
    readonly variant: string;
    /** Of all of them: equal keys are equal images. */
    readonly key: string;
  };
  readonly buildMs: number;
}

/** A built image on this host. */
export interface ImagePaths {
  readonly directory: string;
  readonly disk: string;
  readonly kernel: string;
  readonly initramfs: string;
  readonly rootfs: string;
}

export function imagePaths(directory: string): ImagePaths {
  const at = (name: string) => join(directory, name);
  return {
    directory,
    disk: at("disk.img"),
    kernel: at("vmlinuz"),
    initramfs: at("initramfs.cpio"),
    rootfs: at("rootfs"),
  };
}

/** Reads a built image's manifest. @throws {ImageBuildError} that says to build, when there is none. */
export async function readManifest(directory: string): Promise<ImageManifest> {
  let text: string;
  try {
    text = await readFile(join(directory, "manifest.json"), "utf8");
  } catch (cause) {
    throw new ImageBuildError(`no image in ${directory}: run osctl build`, {}, { cause });
  }
  const manifest = JSON.parse(text) as ImageManifest;
  if (manifest.manifestVersion !== MANIFEST_VERSION) {
    throw new ImageBuildError(`the image in ${directory} is of another version of osctl: run osctl build`);
  }
  return manifest;
}
