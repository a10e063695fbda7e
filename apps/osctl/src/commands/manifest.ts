import { defaultOutput, readManifest } from "@keelson/image-builder";
import { Command } from "commander";
import type { Io } from "../io.ts";
import { summary } from "./build.ts";

export function manifestCommand(io: Io): Command {
  return new Command("manifest")
    .summary("say what the built image is made of")
    .option("--output <dir>", "where the image is (default: out/image)")
    .option("--json", "print the manifest")
    .action(async (flags: { output?: string; json?: boolean }) => {
      const directory = flags.output ?? defaultOutput(io.repository);
      const manifest = await readManifest(directory);
      io.out(flags.json === true ? `${JSON.stringify(manifest, null, 2)}\n` : summary(manifest, directory));
    });
}
