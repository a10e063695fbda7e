import {
  buildRepoPath,
  defaultCacheDir,
  describeChange,
  diffImages,
  type ImageDifference,
} from "@keelson/image-builder";
import { openRepo } from "@keelson/ostree";
import { Command } from "commander";
import type { Io } from "../io.ts";

/** Files that are listed one by one. */
const FILES_SHOWN = 40;

export function diffCommand(io: Io): Command {
  return new Command("diff")
    .summary("say what differs between two versions: packages, files, sizes")
    .argument("<a>", "a commit or a branch")
    .argument("<b>", "another")
    .option("--repo <dir>", "an OSTree repository (default: that of osctl build)")
    .option("--json", "print it as JSON, with all files")
    .action(async (a: string, b: string, flags: { repo?: string; json?: boolean }) => {
      await using repo = await openRepo(flags.repo ?? buildRepoPath(defaultCacheDir()));
      const difference = await diffImages(repo, a, b);
      io.out(flags.json === true ? `${JSON.stringify(difference, null, 2)}\n` : describeDifference(difference));
    });
}

/** Pure. */
export function describeDifference({ from, to, packages, files }: ImageDifference): string {
  const grown = files.reduce((sum, file) => sum + file.toBytes - file.fromBytes, 0);
  const of = (change: string) => files.filter((file) => file.change === change).length;
  const largest = files.toSorted((x, y) => sizeOf(y) - sizeOf(x) || (x.path < y.path ? -1 : 1)).slice(0, FILES_SHOWN);
  const rest = files.length - largest.length;
  return [
    `${from ?? "?"} -> ${to ?? "?"}: ${of("added")} files added, ${of("removed")} removed, ${of("modified")} modified, ` +
      `${grown < 0 ? "-" : "+"}${kilobytes(Math.abs(grown))}`,
    ...packages.map((change) => `package ${describeChange(change)}`),
    ...largest.map((file) => `${SIGNS[file.change]} ${kilobytes(sizeOf(file)).padStart(12)}  ${file.path}`),
    ...(rest > 0 ? [`and ${rest} smaller ones (--json has them all)`] : []),
    "",
  ].join("\n");
}

const SIGNS = { added: "+", removed: "-", modified: "M" } as const;

function sizeOf({ fromBytes, toBytes }: { fromBytes: number; toBytes: number }): number {
  return Math.max(fromBytes, toBytes);
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1)} kB`;
}
