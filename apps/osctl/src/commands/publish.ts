import { readFile } from "node:fs/promises";
import { type PublishedRelease, publishImage } from "@keelson/image-builder";
import { Command, InvalidArgumentError } from "commander";
import type { Io } from "../io.ts";
import { addSourceOptions, type SourceFlags, sourceOptions } from "./source.ts";

interface PublishFlags extends SourceFlags {
  repo: string;
  version: string;
  key: string;
  stream: string;
  commit?: string;
  deltas: number;
  rolloutHours?: number;
  barrier?: string;
  deadend?: string;
  json?: boolean;
}

export function publishCommand(io: Io): Command {
  const command = new Command("publish")
    .summary("publish a version for machines to update to")
    .description(
      "Builds a version (or takes a commit that is built), signs it, puts it into DIR/repo with deltas from earlier\n" +
        "versions, and announces it in DIR/releases/<stream>.json. update-server --root DIR serves both.",
    )
    .requiredOption("--repo <dir>", "what the update server serves; it is made")
    .requiredOption("--version <version>", "the version; it means one commit for ever")
    .requiredOption("--key <file>", "private key (osctl key makes one)")
    .option("--stream <name>", "who is to get it", "stable")
    .option("--commit <checksum>", "publish this commit of osctl build, instead of building")
    .option("--deltas <n>", "deltas from so many versions before it", count, 3)
    .option("--rollout-hours <n>", "spread it over so many hours (default: all machines may have it at once)", count)
    .option("--barrier <reason>", "every older machine must go through this version")
    .option("--deadend <reason>", "machines of this version get no further updates")
    .option("--json", "print the result as JSON");
  return addSourceOptions(command).action(async (flags: PublishFlags) => {
    const release = await publishImage({
      ...sourceOptions(flags, io),
      root: flags.repo,
      version: flags.version,
      privateKey: await readFile(flags.key, "utf8"),
      stream: flags.stream,
      commit: flags.commit,
      deltas: flags.deltas,
      update: {
        rollout:
          flags.rolloutHours === undefined
            ? {}
            : { start_epoch: Math.floor(Date.now() / 1000), duration_minutes: flags.rolloutHours * 60 },
        ...(flags.barrier === undefined ? {} : { barrier: { reason: flags.barrier } }),
        ...(flags.deadend === undefined ? {} : { deadend: { reason: flags.deadend } }),
      },
    });
    io.out(flags.json === true ? `${JSON.stringify(release, null, 2)}\n` : describeRelease(release));
  });
}

/** Pure. */
export function describeRelease({ version, commit, stream, deltas, publishMs }: PublishedRelease): string {
  const lines = deltas.map(({ from, bytes }) => `delta from ${from}: ${(bytes / 1000).toFixed(1)} kB`);
  return [
    `published ${version} on ${stream} as commit ${commit} in ${(publishMs / 1000).toFixed(1)} s`,
    ...lines,
    "",
  ].join("\n");
}

function count(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0 && value <= 10_000) return value;
  throw new InvalidArgumentError("a whole number from 0 to 10000 is needed.");
}
