import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { bootChecksum } from "@keelson/boot";
import { decideDirectBoot } from "@keelson/cluster/qemu";
import { runProcess, tempDir } from "@keelson/testkit";

/** What a disk would do at the next boot. */
export interface CrashState {
  /** Commit of the deployment that would boot. */
  readonly commit: string;
  readonly version: string;
}

/**
 * Looks at a disk as a power cut left it, without booting it: what the loaders would choose, whether its kernel and
 * initramfs are whole, whether e2fsck finds nothing that the journal does not mend, and whether the deployment is there.
 * Changes the disk only as the next boot would (the journal is replayed).
 *
 * @throws Error that says what is wrong
 */
export async function checkCrashState(disk: string): Promise<CrashState> {
  await using work = await tempDir("crash");
  const boot = await decideDirectBoot(disk, work.path, { count: false });
  const checksum = bootChecksum(await readFile(boot.kernel), await readFile(boot.initramfs));
  if (checksum !== boot.bootcsum) throw new Error(`${boot.entry}: kernel and initramfs are not what the entry says`);
  const root = `${disk}?offset=${await rootOffset(disk)}`;
  // 1: mended. The kernel replays a journal in the same way.
  const replay = await runProcess("e2fsck", ["-p", root], { timeoutMs: 120_000 });
  const check = await runProcess("e2fsck", ["-f", "-n", root], { timeoutMs: 120_000 });
  if ((replay.code ?? 8) > 1 || check.code !== 0) throw new Error(`e2fsck: ${replay.stdout}${check.stdout}`);
  const release = join("/ostree/deploy/keelson/deploy", boot.deployment, "usr/lib/os-release");
  const { stdout } = await runProcess("debugfs", ["-R", `cat ${release}`, root]);
  const version = (/^IMAGE_VERSION="?([^"\n]*)/m.exec(stdout) ?? /^VERSION_ID="?([^"\n]*)/m.exec(stdout))?.[1];
  if (version === undefined) throw new Error(`${boot.entry}: ${release} is not on the disk`);
  return { commit: boot.deployment.split(".")[0] ?? "", version };
}

/** Where the partition named `root` begins, as sfdisk says. */
async function rootOffset(disk: string): Promise<number> {
  const { stdout } = await runProcess("sfdisk", ["--json", disk]);
  const table = JSON.parse(stdout) as { partitiontable: { partitions: { start: number; name?: string }[] } };
  const root = table.partitiontable.partitions.find(({ name }) => name === "root");
  if (root === undefined) throw new Error(`${disk} has no partition named root`);
  return root.start * 512;
}
