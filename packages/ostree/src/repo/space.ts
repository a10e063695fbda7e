import { statfs } from "node:fs/promises";
import { OstreeSpaceError } from "../core/errors.ts";
import type { RepoConfig } from "./config.ts";

/** Bytes that may be written below `path` before the free space that the config reserves is touched. */
export async function writableBytes(path: string, config: RepoConfig): Promise<number> {
  const fs = await statfs(path);
  const reserved = config.minFreeSpaceSize ?? (fs.blocks * fs.bsize * config.minFreeSpacePercent) / 100;
  return fs.bavail * fs.bsize - reserved;
}

/** A full disk becomes our error, so that a caller can tell it from others. */
export function spaceError(path: string, cause: unknown): unknown {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (code !== "ENOSPC" && code !== "EDQUOT") return cause;
  return new OstreeSpaceError(`no space left for ${path}; free some and try again`, { path }, { cause });
}
