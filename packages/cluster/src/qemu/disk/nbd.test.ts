import { execFile } from "node:child_process";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { findProgram } from "@keelson/image-builder";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { takeOption, takeRequest } from "./nbd-protocol.ts";
import { VolatileDisk } from "./volatile-disk.ts";

const run = promisify(execFile);
const problem = findProgram("qemu-io") === undefined ? "qemu-io not found: apt-get install qemu-utils" : undefined;
if (problem !== undefined) process.stdout.write(`the NBD server is not tried by QEMU's own client: ${problem}\n`);

it("takes any bytes apart or refuses them", () => {
  for (const take of [takeOption, takeRequest]) {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        let size = 0;
        try {
          size = take(Buffer.from(bytes))?.size ?? 0;
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
        expect(size).toBeLessThanOrEqual(bytes.length);
      }),
    );
  }
});

describe.skipIf(problem !== undefined)("QEMU's client", () => {
  let directory: string;
  let disk: VolatileDisk;
  const io = async (...commands: string[]) => {
    const args = commands.flatMap((command) => ["-c", command]);
    // Without a cache of its own, and without its flush at the end: the process is killed instead.
    const { stdout } = await run(
      "qemu-io",
      ["-t", "none", "-f", "raw", ...args, `nbd+unix:///?socket=${disk.socket}`],
      {
        timeout: 20_000,
      },
    );
    return stdout;
  };
  const killed = async (...commands: string[]) => {
    const io_ = io(...commands, "sigraise 9");
    await expect(io_).rejects.toMatchObject({ signal: "SIGKILL" });
  };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "keelson-nbd-"));
    const file = join(directory, "disk.raw");
    await writeFile(file, Buffer.alloc(4096, 7));
    await truncate(file, 64 << 20);
    disk = await VolatileDisk.open(file, join(directory, "disk.sock"));
  });
  afterEach(async () => {
    await disk[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });

  it("reads what it wrote, zeroes, trims, and sees the file's own bytes", async () => {
    const out = await io(
      "read -P 7 0 4k",
      "write -P 1 1M 2M",
      "read -P 1 1M 2M",
      "write -z 2M 64k",
      "read -P 0 2M 64k",
    );
    expect(out).not.toContain("failed");
    expect(await io("discard 3M 64k", "flush", "read -P 1 1M 1M")).not.toContain("failed");
  });

  it("finds after a cut what it had flushed, and not what it had not", async () => {
    await killed("write -P 1 0 64k", "flush", "write -P 2 0 64k", "write -P 3 1M 4k");
    expect(await disk.cut("lose", Math.random)).toEqual({ unflushedWrites: 2, lostWrites: 2, tornWrites: 0 });
    const out = await io("read -P 1 0 64k", "read -P 0 1M 4k");
    expect(out).not.toContain("failed");
  });

  it("finds everything after a reset", async () => {
    await killed("write -P 2 0 64k");
    await disk.settle();
    expect(await io("read -P 2 0 64k")).not.toContain("failed");
  });

  it("makes the disk again as it was at any request", async () => {
    await io("write -P 9 0 4k", "flush");
    await disk.startRecording();
    await io("write -P 1 0 4k", "flush", "write -P 2 4k 4k", "write -P 3 8k 4k", "flush");
    const last = disk.recorded;
    disk.stopRecording();
    await io("write -P 8 0 64k", "flush");
    const seen: string[] = [];
    for (let count = 0; count <= last; count++) {
      await disk.rewind(count, "lose", Math.random);
      const text = await io("read -v 0 1", "read -v 4k 1", "read -v 8k 1");
      seen.push([...text.matchAll(/^0[0-9a-f]+: {2}([0-9a-f]{2})/gm)].map((match) => match[1]).join(" "));
    }
    // qemu-io flushes at its end, too.
    expect([...new Set(seen)]).toEqual(["09 00 00", "01 00 00", "01 02 03"]);
    await disk.rewind(4, "keep", Math.random);
    expect(await io("read -P 3 8k 4k")).not.toContain("failed");
    await expect(disk.rewind(last + 1, "keep", Math.random)).rejects.toThrow(/are recorded/);
  });

  it("is refused what is beyond the end", async () => {
    await expect(io("write 64M 4k")).rejects.toThrow();
  });
});
