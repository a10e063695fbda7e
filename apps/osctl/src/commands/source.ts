import type { SourceOptions } from "@keelson/image-builder";
import { type Command, Option } from "commander";
import type { Io } from "../io.ts";
import { stderrProgress } from "../progress.ts";

/** Flags of commands that build something. */
export interface SourceFlags {
  mirror?: string;
  suite?: string;
  snapshot?: string;
  cache?: string;
  updateLock?: boolean;
  frozen?: boolean;
  version?: string;
  trust?: string[];
  kernelArguments?: string;
  overlay?: string;
  initramfsInit?: string;
  verbose?: boolean;
}

export function addSourceOptions(command: Command): Command {
  return command
    .option("--mirror <url>", "Debian mirror (default: that of this host's apt)")
    .option("--suite <name>", "Debian suite (default: image/image.json)")
    .option("--snapshot <time>", "folder of a snapshot below the mirror, such as 20260101T000000Z")
    .option("--cache <dir>", "where layers and commits are kept (default: ~/.cache/keelson/image)")
    .option("--update-lock", "take the mirror's newest packages and record them in image/packages.lock.json")
    .option("--frozen", "fail when the mirror no longer has the locked packages")
    .option("--trust <file...>", "public keys whose signatures machines accept")
    .option("--kernel-arguments <words>", "more kernel arguments for every machine")
    .addOption(new Option("--overlay <dir>", "lay this folder's files over the root file system").hideHelp())
    .addOption(new Option("--initramfs-init <file>", "another first program of the initramfs").hideHelp())
    .option("--verbose", "say more");
}

export function sourceOptions(flags: SourceFlags, io: Io): SourceOptions {
  return {
    repository: io.repository,
    mirror: flags.mirror,
    suite: flags.suite,
    snapshot: flags.snapshot,
    cacheDir: flags.cache,
    updateLock: flags.updateLock ?? false,
    frozen: flags.frozen ?? false,
    version: flags.version,
    trust: flags.trust,
    kernelArguments: flags.kernelArguments,
    overlay: flags.overlay,
    initramfsInit: flags.initramfsInit,
    progress: stderrProgress({ verbose: flags.verbose ?? false, write: (text) => io.err(text) }),
    signal: io.signal,
  };
}
