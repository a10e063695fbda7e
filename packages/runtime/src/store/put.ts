import { rename, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, digestFileName, isVerifiable } from "@keelson/oci";
import { ContentError, RegistryError } from "../registry/errors.ts";
import { Budget } from "./budget.ts";
import { Claim } from "./claims.ts";
import { StoreError } from "./errors.ts";
import { scratchName, syncDirectory, writeDurably } from "./files.ts";
import { type UnpackLimits, writeLayerFile } from "./layer-file.ts";
import { fileSize, layerFileName, type StoreLayout } from "./layout.ts";
import type { Records } from "./records.ts";
import type { ImageProgress, ImageSource, SourceLayer } from "./source.ts";
import { removeScratch, sweep } from "./sweep.ts";

/** How an image is put into the store. */
export interface PutOptions {
  /** In full; none for an image that only has its id. */
  readonly names: readonly string[];
  readonly limits: UnpackLimits;
  /** Layers at a time. */
  readonly parallel: number;
  readonly bytesMax: number;
  readonly reserveBytes: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: ImageProgress) => void) | undefined;
}

/** Another sweep or remove may take a layer away while we look; twice is already unlikely. */
const ROUNDS_MAX = 5;

/**
 * Puts an image into the store. Layers are written beside it and moved in when all of them are good; then the documents, the record and the names.
 * A crash at any instant leaves files that nobody sees and the next sweep removes. A failure leaves nothing, but for one of the network: then the
 * layers that are complete stay, so that the next try has them.
 *
 * @throws ContentError, LayerError, StoreFullError, RegistryError
 */
export async function putImage(
  layout: StoreLayout,
  records: Records,
  source: ImageSource,
  options: PutOptions,
): Promise<void> {
  checkSource(source);
  await removeScratch(layout);
  const fresh = new Set<string>();
  try {
    await using claim = new Claim(layout);
    await claim.add([...source.config.diffIds.map(layerFileName), digestFileName(source.id)]);
    const tarBytes = await fetchMissing(layout, source, options);
    for (const diffId of tarBytes.keys()) fresh.add(layerFileName(diffId));
    await writeDocuments(layout, records, source, { claim, tarBytes, names: options.names });
  } catch (error) {
    // The layers were good, but their image could not be recorded.
    if (fresh.size > 0)
      await sweep(layout, records, { alsoUsed: async () => [], graceMs: 0, only: fresh }).catch(() => undefined);
    throw error;
  }
  options.onProgress?.({ kind: "done", id: source.id });
}

/** Documents, then the record that needs them and the layers, then the names that need the record. */
async function writeDocuments(
  layout: StoreLayout,
  records: Records,
  source: ImageSource,
  { claim, tarBytes, names }: { claim: Claim; tarBytes: ReadonlyMap<Digest, number>; names: readonly string[] },
): Promise<void> {
  const { id } = source;
  const manifest = source.manifest(tarBytes);
  await claim.add([digestFileName(manifest.digest)]);
  const scratch = layout.directory("tmp");
  await writeDurably(layout.blob(id), source.configBytes, scratch);
  await writeDurably(layout.blob(manifest.digest), manifest.bytes, scratch);
  const importedAt = (await records.image(id))?.importedAt ?? new Date().toISOString();
  await records.writeImage({
    version: 1,
    id,
    manifest: manifest.digest,
    diffIds: [...source.config.diffIds],
    importedAt,
  });
  for (const name of names) await records.writeName({ version: 1, name, id, manifest: manifest.digest });
}

function checkSource(source: ImageSource): void {
  const { diffIds } = source.config;
  if (diffIds.length !== source.layers.length) {
    const text = `the image has ${source.layers.length} layers, but its config names ${diffIds.length}`;
    throw new ContentError("layers", text);
  }
  for (const diffId of diffIds) {
    if (!isVerifiable(diffId) || !diffId.startsWith("sha256:")) {
      throw new ContentError("diff-id", `${diffId}: layers of this kind of digest cannot be verified`);
    }
  }
}

/** Returns the layers that were fetched, with the bytes of their tars. */
async function fetchMissing(
  layout: StoreLayout,
  source: ImageSource,
  options: PutOptions,
): Promise<Map<Digest, number>> {
  const tarBytes = new Map<Digest, number>();
  const { onProgress } = options;
  const blobBytes = source.layers.reduce((sum, layer) => sum + layer.blobBytes, 0);
  onProgress?.({ kind: "resolved", id: source.id, layers: source.layers.length, blobBytes });
  const all = new Map(source.layers.map((layer) => [layer.diffId, layer]));
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const missing: SourceLayer[] = [];
    for (const layer of all.values()) {
      if ((await fileSize(layout.layer(layer.diffId))) === undefined) missing.push(layer);
      else if (round === 0) {
        onProgress?.({ kind: "layer-exists", diffId: layer.diffId });
        await touchFile(layout.layer(layer.diffId));
      }
    }
    if (missing.length === 0) return tarBytes;
    await fetchLayers(layout, missing, options, tarBytes);
  }
  throw new StoreError("layers vanish from the image store as fast as they are pulled: who removes them?");
}

/** A collector of garbage goes by the time of the last use. */
async function touchFile(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => {});
}

async function fetchLayers(
  layout: StoreLayout,
  layers: readonly SourceLayer[],
  options: PutOptions,
  tarBytes: Map<Digest, number>,
): Promise<void> {
  const { signal, onProgress } = options;
  const budget = await Budget.of(
    ["layers", "blobs", "tmp"].map((name) => join(layout.root, name)),
    options.bytesMax,
    options.reserveBytes,
  );
  // Unpacked it is hardly ever less than packed: what cannot fit is not fetched.
  budget.check(layers.reduce((sum, layer) => sum + layer.blobBytes, 0));
  // One that fails ends the others, and they end before we do.
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const done: { scratch: string; place: string }[] = [];
  const pending = [...layers];
  const work = async () => {
    for (let layer = pending.shift(); layer !== undefined; layer = pending.shift()) {
      const scratch = join(layout.directory("tmp"), scratchName("layer"));
      const chunks = counted(layer, both, onProgress);
      const { diffId, compression, blobBytes } = layer;
      const written = await writeLayerFile(
        scratch,
        { diffId, compression, blobBytes, chunks },
        options.limits,
        budget,
        both,
      );
      done.push({ scratch, place: layout.layer(layer.diffId) });
      tarBytes.set(layer.diffId, written.tarBytes);
      onProgress?.({ kind: "layer-done", diffId: layer.diffId, size: written.size });
    }
  };
  let failure: { error: unknown } | undefined;
  const workers = Array.from({ length: Math.min(options.parallel, layers.length) }, () =>
    work().catch((error: unknown) => {
      failure ??= { error };
      pending.length = 0;
      stop.abort(error);
    }),
  );
  await Promise.all(workers);
  if (failure === undefined || isWorthKeeping(failure.error, signal)) {
    for (const { scratch, place } of done) await rename(scratch, place);
    await syncDirectory(layout.directory("layers"));
  } else {
    for (const { scratch } of done) await rm(scratch, { force: true });
  }
  if (failure !== undefined) throw failure.error;
}

/** Whether what is complete may stay after this failure: it has been verified, and the next try is likely to want it. */
function isWorthKeeping(error: unknown, signal: AbortSignal | undefined): boolean {
  if (signal?.aborted === true) return true;
  return error instanceof RegistryError && ["unreachable", "server-error", "rate-limited"].includes(error.problem);
}

async function* counted(
  layer: SourceLayer,
  signal: AbortSignal,
  onProgress: ((event: ImageProgress) => void) | undefined,
): AsyncGenerator<Uint8Array> {
  let received = 0;
  for await (const chunk of layer.open(signal)) {
    received += chunk.length;
    onProgress?.({ kind: "layer-bytes", diffId: layer.diffId, received, total: layer.blobBytes });
    yield chunk;
  }
}
