import { rm } from "node:fs/promises";
import { join } from "node:path";
import { decodeCommit, lookupMetadata, metadataString } from "../core/decode.ts";
import { glibHashOrder } from "../core/glib-order.ts";
import { bigEndianU64, encodeSummary, type SummaryRef } from "../core/summary.ts";
import type { Metadata, Variant } from "../core/variant.ts";
import { writeFileDurable } from "./durable.ts";
import { lockRepo } from "./lock.ts";
import type { Repo } from "./port.ts";

/** Options of {@link updateSummary}. */
export interface SummaryOptions {
  /** `ostree.summary.last-modified`, seconds since the epoch. Default now. */
  readonly timestamp?: number;
}

/**
 * Writes the `summary` file: what `ostree summary -u` writes, to the byte, for a repository without static deltas. A
 * signature of the old one is removed, as upstream does.
 */
export async function updateSummary(repo: Repo, options: SummaryOptions = {}): Promise<void> {
  using _lock = await lockRepo(repo, "shared");
  const refs: SummaryRef[] = [];
  for (const [ref, checksum] of await repo.refs()) {
    // Refs of remotes are not ours to publish.
    if (ref.includes(":")) continue;
    const bytes = await repo.readMetadata("commit", checksum);
    const { timestamp, metadata } = decodeCommit(bytes);
    const version = metadataString(metadata, "version");
    const entries: [string, Variant][] = [["ostree.commit.timestamp", bigEndianU64(timestamp)]];
    if (version !== undefined) entries.push(["ostree.commit.version", { type: "s", value: version }]);
    refs.push({ ref, commitSize: bytes.length, checksum, metadata: hashOrdered(entries) });
  }
  const bytes = encodeSummary({ refs, metadata: hashOrdered(summaryMetadata(repo, options)) });
  await writeFileDurable(join(repo.path, "summary"), bytes, { durable: repo.config.fsync });
  await rm(join(repo.path, "summary.sig"), { force: true });
}

function summaryMetadata(repo: Repo, options: SummaryOptions): [string, Variant][] {
  const { collectionId } = repo.config;
  const now = options.timestamp ?? Math.floor(Date.now() / 1000);
  const entries: [string, Variant][] = [
    ["ostree.summary.last-modified", bigEndianU64(now)],
    ["ostree.summary.mode", { type: "s", value: repo.mode === "archive" ? "archive-z2" : "bare" }],
    ["ostree.summary.tombstone-commits", { type: "b", value: false }],
    ["ostree.summary.indexed-deltas", { type: "b", value: true }],
  ];
  if (collectionId !== undefined) entries.push(["ostree.summary.collection-id", { type: "s", value: collectionId }]);
  return entries;
}

/** Upstream builds these dictionaries in a hash table of glib's. */
function hashOrdered(entries: Metadata): Metadata {
  return glibHashOrder(entries.map(([key]) => key)).map((key) => [key, lookupMetadata(entries, key) as Variant]);
}
