/** One entry of an archive that the kernel unpacks as its first root file system. */
export interface CpioEntry {
  readonly path: string;
  /** File type and permissions, such as 0o100755. */
  readonly mode: number;
  readonly data?: Uint8Array;
  /** Device number of a character device. */
  readonly rdev?: { readonly major: number; readonly minor: number };
}

const MAGIC = "070701";
const TRAILER = "TRAILER!!!";

/**
 * An archive in the "newc" format (kernel Documentation/driver-api/early-userspace/buffer-format). Inode numbers
 * count up and times are zero, so equal entries give equal bytes. Pure.
 */
export function encodeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const chunks: Buffer[] = [];
  let offset = 0;
  const push = (chunk: Uint8Array) => {
    chunks.push(Buffer.from(chunk));
    offset += chunk.length;
    const padding = (4 - (offset % 4)) % 4;
    if (padding > 0) chunks.push(Buffer.alloc(padding));
    offset += padding;
  };
  [...entries, { path: TRAILER, mode: 0 }].forEach((entry: CpioEntry, index) => {
    const data = entry.data ?? new Uint8Array();
    const name = Buffer.from(`${entry.path}\0`);
    const isDirectory = (entry.mode & 0o170000) === 0o040000;
    const numbers = [
      entry.path === TRAILER ? 0 : index + 1,
      entry.mode,
      0,
      0,
      isDirectory ? 2 : 1,
      0,
      data.length,
      0,
      0,
      entry.rdev?.major ?? 0,
      entry.rdev?.minor ?? 0,
      name.length,
      0,
    ];
    const header = Buffer.from(MAGIC + numbers.map((n) => n.toString(16).padStart(8, "0")).join(""));
    // Header and name are padded together.
    push(Buffer.concat([header, name]));
    if (data.length > 0) push(data);
  });
  return Buffer.concat(chunks);
}
