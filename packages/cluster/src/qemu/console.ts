/** What the image prints on the console once it is up (image/rootfs/usr/lib/keelson/boot-report). */
const BOOT_REPORT = /keelson: \S+ reached multi-user\.target (\d+\.\d+) s after the kernel started/g;

/** Seconds from the kernel's start to multi-user.target of every boot that a console shows, oldest first. Pure. */
export function bootTimes(consoleText: string): number[] {
  return [...consoleText.matchAll(BOOT_REPORT)].map((match) => Number(match[1]));
}
