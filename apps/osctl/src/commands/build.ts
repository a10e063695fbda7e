import { buildImage, defaultOutput, type ImageManifest } from "@keelson/image-builder";
import { Command, Option } from "commander";
import type { Io } from "../io.ts";
import { stderrProgress } from "../progress.ts";

interface BuildFlags {
  mirror?: string;
  suite?: string;
  snapshot?: string;
  output?: string;
  cache?: string;
  updateLock?: boolean;
  frozen?: boolean;
  json?: boolean;
  verbose?: boolean;
  version?: string;
  overlay?: string;
  initramfsInit?: string;
}

export function buildCommand(io: Io): Command {
  return new Command("build")
    .summary("build the bootable image from Debian packages and this repository")
    .option("--mirror <url>", "Debian mirror (default: that of this host's apt)")
    .option("--suite <name>", "Debian suite (default: image/image.json)")
    .option("--snapshot <time>", "folder of a snapshot below the mirror, such as 20260101T000000Z")
    .option("--output <dir>", "where the image goes (default: out/image)")
    .option("--cache <dir>", "where layers are kept (default: ~/.cache/keelson/image)")
    .option("--update-lock", "take the mirror's newest packages and record them in image/packages.lock.json")
    .option("--frozen", "fail when the mirror no longer has the locked packages")
    .option("--version <version>", "the image's version (default: from package.json and git)")
    .addOption(new Option("--overlay <dir>", "lay this folder's files over the root file system").hideHelp())
    .addOption(new Option("--initramfs-init <file>", "another first program of the initramfs").hideHelp())
    .option("--json", "print the manifest")
    .option("--verbose", "say more")
    .action(async (flags: BuildFlags) => {
      const manifest = await buildImage({
        repository: io.repository,
        mirror: flags.mirror,
        suite: flags.suite,
        snapshot: flags.snapshot,
        output: flags.output,
        cacheDir: flags.cache,
        updateLock: flags.updateLock ?? false,
        frozen: flags.frozen ?? false,
        version: flags.version,
        overlay: flags.overlay,
        initramfsInit: flags.initramfsInit,
        progress: stderrProgress({
          verbose: flags.verbose ?? false,
          write: (text) => io.err(text),
        }),
        signal: io.signal,
      });
      const output = flags.output ?? defaultOutput(io.repository);
      io.out(flags.json === true ? `${JSON.stringify(manifest, null, 2)}\n` : summary(manifest, output));
    });
}

/** What was built, for people. Pure. */
export function summary(manifest: ImageManifest, output: string): string {
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const { sizes } = manifest;
  return [
    `${manifest.name} ${manifest.version}: kernel ${manifest.kernel}, Node ${manifest.node}, ${manifest.packages} packages`,
    `root file system ${mb(sizes.rootfsBytes)}, disk ${mb(sizes.diskUsedBytes)} used, kernel ${mb(sizes.kernelBytes)}, ` +
      `initramfs ${mb(sizes.initramfsBytes)}, ${manifest.setuidFiles} setuid files`,
    `programs: ${manifest.programs.map((p) => p.name).join(" ")}`,
    `in ${output}, built in ${(manifest.buildMs / 1000).toFixed(1)} s. Next: osctl run`,
    "",
  ].join("\n");
}
