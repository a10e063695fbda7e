import { entryId } from "./entry-name.ts";
import { BootEntryError, BootStateError } from "./errors.ts";
import { deploymentOf, kernelPaths } from "./layout.ts";
import type { BootEntry } from "./state.ts";

const LOADER_ARGUMENT = "keelson.loader=";
/** The kernel's own limit (COMMAND_LINE_SIZE on x86). */
const OPTIONS_CHARS_MAX = 2047;

/** Checks a kernel command line for characters that a loader would take apart. Pure. @throws BootEntryError */
export function checkOptions(options: string): void {
  if (options.length > OPTIONS_CHARS_MAX) {
    throw new BootEntryError(
      `kernel arguments of ${options.length} characters; at most ${OPTIONS_CHARS_MAX} are taken`,
    );
  }
  const bad = options.split(" ").find((word) => !/^[\x21-\x7e]+$/.test(word) || /["'\\$`]/.test(word));
  if (bad !== undefined) {
    throw new BootEntryError(
      `kernel argument ${JSON.stringify(bad)}: printable ASCII without spaces, quotes, $ and \\ is needed`,
    );
  }
}

/** systemd-boot's file of an entry. Its `version` orders the menu, highest first, so it is our number. Pure. */
export function formatEntryFile(entry: BootEntry): string {
  checkOptions(entry.options);
  const { kernel, initramfs } = kernelPaths(entry.bootcsum);
  const name = entry.version === undefined ? entry.id : `${entry.version} (${entry.id})`;
  return [
    `title Keelson OS ${name}`,
    "sort-key keelson",
    `version ${entry.number}`,
    ...(entry.version === undefined ? [] : [`x-keelson-version ${entry.version}`]),
    `linux ${kernel}`,
    `initrd ${initramfs}`,
    `options ${entry.options} ${LOADER_ARGUMENT}systemd-boot`,
    "",
  ].join("\n");
}

/** Reads such a file back. Pure. @throws BootStateError that names what is missing */
export function parseEntryFile(number: number, text: string): BootEntry {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^([a-z-]+)\s+(.*?)\s*$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) fields.set(match[1], match[2]);
  }
  const id = entryId(number);
  const options = (fields.get("options") ?? "")
    .split(/\s+/)
    .filter((word) => word !== "" && !word.startsWith(LOADER_ARGUMENT))
    .join(" ");
  const bootcsum = /^\/keelson\/([0-9a-f]{64})\/vmlinuz$/.exec(fields.get("linux") ?? "")?.[1];
  const deployment = deploymentOf(argumentOf(options, "ostree") ?? "");
  if (bootcsum === undefined) throw new BootStateError(`boot entry ${id} names no kernel of ours`);
  if (deployment === undefined) throw new BootStateError(`boot entry ${id} names no deployment (ostree=)`);
  const version = fields.get("x-keelson-version");
  return { id, number, deployment, bootcsum, options, ...(version === undefined ? {} : { version }) };
}

/** GRUB's file of an entry. Words are quoted, since a script's `;` or `&` would end a command. Pure. */
export function formatGrubEntry(entry: BootEntry): string {
  checkOptions(entry.options);
  const { kernel, initramfs } = kernelPaths(entry.bootcsum);
  const words = [...entry.options.split(" "), `${LOADER_ARGUMENT}grub`].map((word) => `'${word}'`);
  const comment = entry.version === undefined ? "" : `# version ${entry.version}\n`;
  return `${comment}if linux ${kernel} ${words.join(" ")}; then initrd ${initramfs}; fi\n`;
}

/** Reads such a file back. Pure. @throws BootStateError that names what is missing */
export function parseGrubEntry(number: number, text: string): BootEntry {
  const [, kernel, words] = /^if linux (\S+) (.*); then initrd \S+; fi$/m.exec(text) ?? [];
  const version = /^# version (\S+)$/m.exec(text)?.[1];
  const fields = [
    `linux ${kernel ?? ""}`,
    `options ${(words ?? "").replaceAll("'", "")}`,
    ...(version === undefined ? [] : [`x-keelson-version ${version}`]),
  ];
  return parseEntryFile(number, fields.join("\n"));
}

/** The value of `name=value` on a kernel command line; the last one counts, as for the kernel. Pure. */
export function argumentOf(commandLine: string, name: string): string | undefined {
  const prefix = `${name}=`;
  return commandLine
    .split(/\s+/)
    .findLast((word) => word.startsWith(prefix))
    ?.slice(prefix.length);
}
