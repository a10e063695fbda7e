import type { Flag } from "./go-flags.ts";

/** What help says of a command. Names, summaries and descriptions are upstream's where upstream has the command. */
export interface CommandHelp {
  readonly name: string;
  readonly summary: string;
  readonly usage: string;
  readonly description: string;
  readonly flags: readonly Flag[];
  readonly examples: readonly string[];
}

const WAIT: Flag = { name: "wait", type: "bool", fallback: "false", usage: "queue up until there is a slot" };
const OUTPUT_USAGE = "text (as upstream), wide (with names, ages and who waits) or json";

export const COMMANDS: readonly CommandHelp[] = [
  {
    name: "completion",
    summary: "Print a completion script for bash, zsh or fish",
    usage: "<shell>",
    description: "Print a script that completes commands and holders, to be sourced.",
    flags: [],
    examples: ["source <(locksmithctl completion bash)"],
  },
  {
    name: "help",
    summary: "Show a list of commands or help for one command",
    usage: "[COMMAND]",
    description: "Show a list of commands or detailed help for one command",
    flags: [],
    examples: ["locksmithctl help lock"],
  },
  {
    name: "lock",
    summary: "Lock this machine or a given machine-id for reboot.",
    usage: "<machine-id>",
    description:
      "Lock is for manual locking of the reboot lock for this machine or a given\n" +
      "machine-id. Under normal operation this should not be necessary.\n" +
      "A lock taken by hand stays until it is unlocked. A holder may lock again.",
    flags: [WAIT],
    examples: ["locksmithctl lock", "locksmithctl lock -wait 113f16a78f9f4b4ca9d7d1a1ba1b8b5a"],
  },
  {
    name: "reboot",
    summary: "Reboot honoring reboot locks.",
    usage: "",
    description:
      "Reboot will attempt to reboot immediately after taking a reboot lock. The user is responsible for unlocking " +
      "after a successful reboot.\n" +
      "The lock is refused as long as etcd would lose its majority, is given back when the reboot fails, and ends\n" +
      "by itself when the machine does not come back within 15 minutes.",
    flags: [WAIT],
    examples: ["locksmithctl reboot -wait"],
  },
  {
    name: "send-need-reboot",
    summary: "send a 'need reboot' signal over dbus.",
    usage: "",
    description:
      "Send a fake 'need reboot' signal to test locksmithd\n" +
      "without a full update cycle via update engine.\n" +
      "It also writes the file that locksmithd watches, see -need-reboot-file.",
    flags: [],
    examples: ["locksmithctl send-need-reboot"],
  },
  {
    name: "set-max",
    summary: "Set the maximum number of lock holders",
    usage: "<number>",
    description:
      "Set the maximum number of machines that can be rebooting at a given time. This\n" +
      "can be set at any time and will not affect current holders of the lock.",
    flags: [],
    examples: ["locksmithctl set-max 2"],
  },
  {
    name: "status",
    summary: "Get the status of the cluster wide reboot lock.",
    usage: "",
    description: "Status will return the number of locks that are held and available and a list of the holders.",
    flags: [
      { name: "o", type: "string", fallback: "text", usage: OUTPUT_USAGE },
      { name: "output", type: "string", fallback: "text", usage: OUTPUT_USAGE },
    ],
    examples: ["locksmithctl status", "locksmithctl status -o wide", "locksmithctl status --output json | jq .holders"],
  },
  {
    name: "unlock",
    summary: "Unlock this machine or a given machine-id for reboot.",
    usage: "<machine-id>",
    description:
      "Unlock is for manual unlocking of the reboot unlock for this machine or a\n" +
      "given machine-id. Under normal operation this should not be necessary.",
    flags: [
      {
        name: "stale",
        type: "bool",
        fallback: "false",
        usage: "unlock all holders that did not come back in time, and deny the versions they went down for",
      },
    ],
    examples: ["locksmithctl unlock 113f16a78f9f4b4ca9d7d1a1ba1b8b5a", "locksmithctl unlock --stale"],
  },
];

export function findCommand(name: string): CommandHelp | undefined {
  return COMMANDS.find((command) => command.name === name);
}
