import { rename, stat, truncate } from "node:fs/promises";
import { run } from "@keelson/linux";
import { ClusterError } from "../../errors.ts";

const COPY_TIMEOUT_MS = 120_000;
const MIB = 1 << 20;

/**
 * Makes a machine's own disk: a sparse raw copy of the image's (shared blocks where the file system can), made larger when
 * `sizeMiB` says so, as a cloud does with an image. Raw, because whoever decides what boots reads its ESP. Half a second
 * for 400 MB; a disk that is there stays. `change` may alter the copy before it is the machine's.
 */
export async function prepareDisk(
  image: string,
  disk: string,
  options: { readonly sizeMiB: number | undefined; readonly change?: ((copy: string) => Promise<void>) | undefined },
): Promise<void> {
  const { sizeMiB, change } = options;
  if ((await stat(disk).catch(() => undefined)) !== undefined) return;
  const { size } = await stat(image);
  if (sizeMiB !== undefined && sizeMiB * MIB < size) {
    throw new ClusterError(
      `a disk of ${sizeMiB} MiB is too small for the image, which has ${Math.ceil(size / MIB)} MiB`,
    );
  }
  const copy = `${disk}.new`;
  await run(["cp", "--reflink=auto", "--sparse=always", image, copy], { timeoutMs: COPY_TIMEOUT_MS });
  if (sizeMiB !== undefined) await truncate(copy, sizeMiB * MIB);
  await change?.(copy);
  await rename(copy, disk);
}
