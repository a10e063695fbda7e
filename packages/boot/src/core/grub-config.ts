import { TRIES_MAX } from "./layout.ts";

/**
 * `/grub/grub.cfg`: {@link decideBoot} as a GRUB script. It is the same on every machine and never changes; what changes is
 * grubenv. GRUB 2 of Debian has neither blscfg nor arithmetic, hence the chain of comparisons. Pure.
 */
export function grubConfig(): string {
  const chain = Array.from({ length: TRIES_MAX }, (_, i) => {
    const tries = TRIES_MAX - i;
    return `${i === 0 ? "if" : "elif"} [ "$tries" = "${tries}" ]; then set left=${tries - 1}`;
  });
  return [
    "# Written by osctl build; the same on every machine. State is in grubenv, entries in keelson-N.cfg.",
    "set timeout=0",
    "set pager=0",
    "if serial --unit=0 --speed=115200; then terminal_output serial; fi",
    "load_env --file $prefix/grubenv default trial tries",
    'set entry="$default"',
    'set left=""',
    'if [ -n "$trial" -a -f "$prefix/$trial.cfg" ]; then',
    ...chain.map((line) => `  ${line}`),
    "  fi",
    "fi",
    'if [ -n "$left" ]; then',
    '  set tries="$left"',
    "  # A try that cannot be counted is not made: it might be made for ever.",
    '  if save_env --file $prefix/grubenv tries; then set entry="$trial"; fi',
    "fi",
    'echo "keelson: grub boots $entry (trial: $trial, tries left: $tries)"',
    'if source "$prefix/$entry.cfg"; then boot; fi',
    'echo "keelson: $entry cannot be loaded"',
    'if [ "$entry" != "$default" ]; then',
    '  if source "$prefix/$default.cfg"; then boot; fi',
    "fi",
    "sleep 5",
    "reboot",
    "",
  ].join("\n");
}

/** `/loader/loader.conf`: boot at once, and nobody edits a command line. Pure. */
export function loaderConf(): string {
  return "timeout 0\neditor no\nauto-entries no\nauto-firmware no\n";
}
