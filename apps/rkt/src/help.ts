import { describeFlags, type FlagTable } from "@keelson/runtime";
import type { CommandSpec } from "./program.ts";

/** The help of the whole program. */
export function programHelp(commands: Readonly<Record<string, CommandSpec>>, globals: FlagTable): string {
  const rows = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(16)}${summary}\n`);
  return `rkt runs pods of containers under systemd.

Usage: rkt [global flags] COMMAND [flags] [words]

Commands:
${rows.join("")}  ${"version".padEnd(16)}print the version
  ${"help".padEnd(16)}show how a command is used: rkt help run

Global flags:
${describeFlags(globals)}
Exit codes: 0 done; 254 an error of rkt's; of run, run-prepared, exec and enter otherwise the app's own.
`;
}

/** The help of one command. */
export function commandHelp(spec: CommandSpec, flags?: string): string {
  const described = flags ?? describeFlags(spec.flags);
  return `${spec.text}\n\nUsage: rkt ${spec.usage}\n${described === "" ? "" : `\n${flags === undefined ? "Flags:\n" : ""}${described}`}`;
}
