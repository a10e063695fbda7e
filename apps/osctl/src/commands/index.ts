import type { Command } from "commander";
import type { Io } from "../io.ts";
import { buildCommand } from "./build.ts";
import { diffCommand } from "./diff.ts";
import { keyCommand } from "./key.ts";
import { manifestCommand } from "./manifest.ts";
import { publishCommand } from "./publish.ts";
import { runCommand } from "./run.ts";

/** The commands that make and use images. They load a lot, so a node that only says `osctl update` never comes here. */
export function addImageCommands(program: Command, io: Io): void {
  for (const command of [buildCommand, runCommand, publishCommand, diffCommand, manifestCommand, keyCommand])
    program.addCommand(command(io));
}
