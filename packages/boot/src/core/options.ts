import { deploymentPath } from "./layout.ts";

/** Arguments that the boot writer or a loader decides, whatever a deployment says. */
const OWNED = ["ostree=", "keelson.entry=", "keelson.loader=", "BOOT_IMAGE=", "initrd="];

/** The kernel command line of an entry: the image's arguments, then the machine's own, then ours. Pure. */
export function entryOptions(
  imageArguments: readonly string[],
  machineArguments: readonly string[],
  entry: { readonly id: string; readonly deployment: string },
): string {
  const words = [...imageArguments, ...machineArguments.filter((word) => !imageArguments.includes(word))];
  return [
    ...words.filter((word) => word !== "" && !OWNED.some((prefix) => word.startsWith(prefix))),
    `ostree=${deploymentPath(entry.deployment)}`,
    `keelson.entry=${entry.id}`,
  ].join(" ");
}
