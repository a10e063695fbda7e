import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type MadeEntry, makeTar } from "@keelson/oci/testing";

/** A layer to be made: entries, or a tar that is ready. */
export interface MadeLayer {
  readonly entries?: readonly MadeEntry[];
  readonly tar?: Uint8Array;
  readonly compression?: "none" | "gzip" | "zstd";
  /** The packed bytes, in place of the tar's. */
  readonly blob?: Uint8Array;
  /** Lies. */
  readonly diffId?: string;
  readonly size?: number;
  readonly digest?: string;
  readonly mediaType?: string;
}

/** An image in memory: blobs by digest, with the manifest among them. */
export interface MadeImage {
  readonly blobs: Map<string, Uint8Array>;
  readonly manifest: string;
  readonly manifestBytes: Uint8Array;
  readonly config: string;
  readonly layers: readonly string[];
}

const OCI = "application/vnd.oci.image";
export const MANIFEST_TYPE = `${OCI}.manifest.v1+json`;
export const INDEX_TYPE = `${OCI}.index.v1+json`;

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value));

/** Makes an image. `change` may falsify the manifest, `changeConfig` the config. */
export function makeImage(
  layers: readonly MadeLayer[],
  options: {
    readonly run?: object;
    readonly change?: (manifest: Record<string, unknown>) => unknown;
    readonly changeConfig?: (config: Record<string, unknown>) => unknown;
  } = {},
): MadeImage {
  const blobs = new Map<string, Uint8Array>();
  const descriptors: { mediaType: string; digest: string; size: number }[] = [];
  const diffIds: string[] = [];
  for (const layer of layers) {
    const tar = layer.tar ?? makeTar(layer.entries ?? []);
    const packing = layer.compression ?? "gzip";
    const blob = layer.blob ?? (packing === "gzip" ? gzipSync(tar) : packing === "zstd" ? zstdCompressSync(tar) : tar);
    const digest = layer.digest ?? digestOf(blob);
    blobs.set(digest, blob);
    diffIds.push(layer.diffId ?? digestOf(tar));
    const suffix = packing === "none" ? "" : `+${packing}`;
    descriptors.push({
      mediaType: layer.mediaType ?? `${OCI}.layer.v1.tar${suffix}`,
      digest,
      size: layer.size ?? blob.length,
    });
  }
  const config = {
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: diffIds },
    config: { Cmd: ["/bin/sh"], ...options.run },
  };
  const configBytes = json(options.changeConfig?.(config) ?? config);
  const configDigest = digestOf(configBytes);
  blobs.set(configDigest, configBytes);
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: `${OCI}.config.v1+json`, digest: configDigest, size: configBytes.length },
    layers: descriptors,
  };
  const manifestBytes = json(options.change?.(manifest) ?? manifest);
  blobs.set(digestOf(manifestBytes), manifestBytes);
  return {
    blobs,
    manifest: digestOf(manifestBytes),
    manifestBytes,
    config: configDigest,
    layers: descriptors.map((d) => d.digest),
  };
}

/** Writes an image as an OCI layout. */
export async function writeLayout(image: MadeImage, dir: string, name = "app:v1"): Promise<void> {
  await mkdir(join(dir, "blobs/sha256"), { recursive: true });
  for (const [digest, bytes] of image.blobs) await writeFile(join(dir, "blobs", digest.replace(":", "/")), bytes);
  await writeFile(join(dir, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
  const annotations = { "org.opencontainers.image.ref.name": name };
  const entry = { mediaType: MANIFEST_TYPE, digest: image.manifest, size: image.manifestBytes.length, annotations };
  await writeFile(join(dir, "index.json"), json({ schemaVersion: 2, manifests: [entry] }));
}

/** An ordinary image of two layers. */
export function ordinaryImage(tag = "v1"): MadeImage {
  const content = Buffer.alloc(300_000, `content of ${tag} `);
  return makeImage([
    {
      entries: [
        { name: "etc/passwd", content: "root:x:0:0::/root:/bin/sh\n" },
        { name: "bin/sh", content, mode: 0o755 },
        { name: "gone", content: "x" },
      ],
    },
    { entries: [{ name: ".wh.gone" }, { name: `etc/${tag}`, content: tag }], compression: "zstd" },
  ]);
}
