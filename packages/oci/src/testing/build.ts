import { ErofsReader, type ReadInode } from "../erofs/reader.ts";
import { LayerBuilder, type LayerStats } from "../layer/builder.ts";
import type { LayerLimits } from "../layer/limits.ts";
import { concat } from "./make-tar.ts";

/** A layer's image in memory. */
export interface BuiltImage {
  readonly bytes: Uint8Array;
  readonly stats: LayerStats;
  readonly reader: ErofsReader;
}

/** Builds the image of a tar, fed in pieces of `pieceBytes`. */
export function buildLayer(tar: Uint8Array, limits: LayerLimits = {}, pieceBytes = 65_536): BuiltImage {
  const parts: Uint8Array[] = [];
  const builder = new LayerBuilder((bytes) => parts.push(bytes.slice()), limits);
  for (let at = 0; at < tar.length; at += pieceBytes) builder.push(tar.subarray(at, at + pieceBytes));
  const { patches, stats } = builder.finish();
  const bytes = concat(parts);
  for (const { offset, bytes: over } of patches) bytes.set(over, offset);
  return { bytes, stats, reader: new ErofsReader((offset, length) => bytes.subarray(offset, offset + length)) };
}

/** What an image holds: one line for each path, sorted. `kind mode uid:gid size links path [-> target] [xattrs]` */
export function listImage(reader: ErofsReader): string[] {
  const lines: string[] = [];
  const visit = (inode: ReadInode, path: string) => {
    lines.push(describe(reader, inode, path));
    if (inode.kind !== "directory") return;
    for (const entry of reader.entries(inode)) {
      visit(reader.inode(entry.inodeOffset), `${path === "/" ? "" : path}/${entry.name}`);
    }
  };
  visit(reader.root(), "/");
  return lines.sort();
}

function describe(reader: ErofsReader, inode: ReadInode, path: string): string {
  const { kind, mode, uid, gid, size, links } = inode;
  const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);
  const target = kind === "symlink" ? ` -> ${text(reader.content(inode))}` : "";
  const device = kind === "char" || kind === "block" ? ` ${(inode.where >> 8) & 0xfff}:${inode.where & 0xff}` : "";
  const xattrs = [...reader.xattrs(inode)].map(([name, value]) => ` ${name}=${value}`).join("");
  const length = kind === "directory" ? "" : ` ${size}`;
  return `${path} ${kind} ${mode.toString(8)} ${uid}:${gid}${length} x${links}${target}${device}${xattrs}`;
}
