import { COMMANDS, type CommandHelp, findCommand } from "./commands.ts";
import type { Flag } from "./go-flags.ts";
import { GLOBAL_FLAGS } from "./settings.ts";
import { alignTabs } from "./tabwriter.ts";
import { VERSION } from "./version.ts";

const option = ({ name, fallback, usage }: Flag) => `\t${name.length === 1 ? "-" : "--"}${name}=${fallback}\t${usage}`;

/** `locksmithctl help`, laid out as upstream's. */
export function globalHelp(): string {
  const lines = [
    "NAME:",
    "\tlocksmithctl - Manage the cluster wide reboot lock.",
    "",
    "USAGE: ",
    "\tlocksmithctl [global options] <command> [command options] [arguments...]",
    "",
    "VERSION:",
    `\t${VERSION}`,
    "",
    "COMMANDS:",
    ...COMMANDS.map(({ name, summary }) => `\t${name}\t${summary}`),
    "",
    "GLOBAL OPTIONS:",
    ...GLOBAL_FLAGS.map(option),
    "",
    'Run "locksmithctl help <command>" for more details on a specific command.',
    "",
  ];
  return alignTabs(lines.join("\n"));
}

/** `locksmithctl help COMMAND`; undefined when there is no such command. */
export function commandHelp(name: string): string | undefined {
  const command = findCommand(name);
  return command === undefined ? undefined : renderHelp(command);
}

function renderHelp({ name, summary, usage, description, flags, examples }: CommandHelp): string {
  return [
    "NAME:",
    `\t${name} - ${summary}`,
    "",
    "USAGE:",
    `\tlocksmithctl ${name} ${usage}`,
    "",
    "DESCRIPTION:",
    ...description.split("\n").map((line) => `\t${line}`),
    "",
    ...(flags.length === 0 ? [] : ["OPTIONS:", ...flags.map(option), ""]),
    ...(examples.length === 0 ? [] : ["EXAMPLES:", ...examples.map((line) => `\t${line}`), ""]),
    'For help on global options run "locksmithctl help"',
    "",
  ].join("\n");
}
