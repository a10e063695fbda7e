#!/usr/bin/env node
import { resolve } from "node:path";
import { formatErrorChain } from "@keelson/types";
import { Command, CommanderError } from "commander";
import { growRootCommand } from "./commands/grow-root.ts";
import { updateCommand } from "./commands/update.ts";
import type { Io } from "./io.ts";

const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => interrupt.abort(new Error(`interrupted by ${signal}`)));
}
const io: Io = {
  repository: process.env["KEELSON_REPOSITORY"] ?? resolve(import.meta.dirname, "../../.."),
  signal: interrupt.signal,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
};

const program = new Command("osctl").description("builds, runs and updates Keelson OS").version("0.1.0");
// `osctl build --version 2` is the image's version, not a question for ours.
program.enablePositionalOptions();
// What a node calls must not pay for what builds images.
const isForNodes = ["update", "grow-root"].includes(process.argv[2] ?? "");
if (!isForNodes) (await import("./commands/index.ts")).addImageCommands(program, io);
program.addCommand(updateCommand(io)).addCommand(growRootCommand(io), { hidden: true });
for (const command of [program, ...program.commands.flatMap((c) => [c, ...c.commands])]) command.exitOverride();

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    io.err(`osctl: ${formatErrorChain(error)}\n`);
    process.exitCode = 1;
  }
}
