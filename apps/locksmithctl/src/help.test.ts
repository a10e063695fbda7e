import { expect, it } from "vitest";
import { COMMANDS } from "./commands.ts";
import { completionScript } from "./completion.ts";
import { commandHelp, globalHelp } from "./help.ts";
import { VERSION } from "./version.ts";

it("help is laid out as upstream's", () => {
  expect(globalHelp()).toBe(`NAME:
	locksmithctl - Manage the cluster wide reboot lock.

USAGE: 
	locksmithctl [global options] <command> [command options] [arguments...]

VERSION:
	${VERSION}

COMMANDS:
	completion		Print a completion script for bash, zsh or fish
	help			Show a list of commands or help for one command
	lock			Lock this machine or a given machine-id for reboot.
	reboot			Reboot honoring reboot locks.
	send-need-reboot	send a 'need reboot' signal over dbus.
	set-max			Set the maximum number of lock holders
	status			Get the status of the cluster wide reboot lock.
	unlock			Unlock this machine or a given machine-id for reboot.

GLOBAL OPTIONS:
	--debug=false						Print out debug information to stderr.
	--endpoint=http://127.0.0.1:2379,http://127.0.0.1:4001	etcd endpoint for locksmith. Specify multiple times to use multiple endpoints.
	--etcd-cafile=						etcd CA file authentication
	--etcd-certfile=					etcd cert file authentication
	--etcd-keyfile=						etcd key file authentication
	--etcd-password=					password for secure etcd communication
	--etcd-username=					username for secure etcd communication
	--group=						locksmith group
	--need-reboot-file=/run/keelson/need-reboot		file that says that this machine wants to reboot
	--version=false						Print the version and exit.

Run "locksmithctl help <command>" for more details on a specific command.
`);
});

it("help of a command too, with examples", () => {
  expect(commandHelp("status")).toBe(`NAME:
	status - Get the status of the cluster wide reboot lock.

USAGE:
	locksmithctl status 

DESCRIPTION:
	Status will return the number of locks that are held and available and a list of the holders.

OPTIONS:
	-o=text	text (as upstream), wide (with names, ages and who waits) or json
	--output=text	text (as upstream), wide (with names, ages and who waits) or json

EXAMPLES:
	locksmithctl status
	locksmithctl status -o wide
	locksmithctl status --output json | jq .holders

For help on global options run "locksmithctl help"
`);
  for (const { name, examples } of COMMANDS) {
    expect(examples.length).toBeGreaterThan(0);
    expect(commandHelp(name)).toContain(`EXAMPLES:\n\t${examples[0]}\n`);
  }
  expect(commandHelp("bogus")).toBeUndefined();
});

it("a completion script for each shell knows every command", () => {
  const names = COMMANDS.map(({ name }) => name);
  for (const shell of ["bash", "zsh", "fish"]) expect(completionScript(shell, names)).toContain(names.join(" "));
  expect(() => completionScript("csh", names)).toThrow('no completion for "csh": bash, zsh or fish');
});
