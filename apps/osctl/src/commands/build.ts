import { buildImage, defaultOutput, type ImageManifest } from "@keelson/image-builder";
import { Command } from "commander";
import type { Io } from "../io.ts";
import { addSourceOptions, type SourceFlags, sourceOptions } from "./source.ts";

interface BuildFlags extends SourceFlags {
  output?: string;
  json?: boolean;
}

export function buildCommand(io: Io): Command {
  const command = new Command("build").summary("build the bootable image from Debian packages and this repository");
  return addSourceOptions(command)
    .option("--version <version>", "the image's version (default: from package.json and git)")
    .option("--output <dir>", "where the image goes (default: out/image)")
    .option("--json", "print the manifest")
    .action(async (flags: BuildFlags) => {
      const manifest = await buildImage({ ...sourceOptions(flags, io), output: flags.output });
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
    `commit ${manifest.commit}`,
    `in ${output}, built in ${(manifest.buildMs / 1000).toFixed(1)} s. Next: osctl run`,
    "",
  ].join("\n");
}
