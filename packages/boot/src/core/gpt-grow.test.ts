import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { tempDir } from "@keelson/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GPT_SECTORS, growGpt } from "./gpt-grow.ts";

const hasSfdisk = spawnSync("sfdisk", ["--version"]).status === 0;
if (!hasSfdisk) process.stdout.write("growing is not compared with sfdisk: apt-get install fdisk\n");
const MIB = 1 << 20;

describe.skipIf(!hasSfdisk)("a disk that became larger", () => {
  /** A disk as sfdisk makes it, then larger, with the power cut after `steps` writes. What sfdisk says of it. */
  async function grown(fromMiB: number, toMiB: number, steps: number) {
    await using dir = await tempDir("gpt");
    const path = dir.join("disk");
    const fd = openSync(path, "w+");
    ftruncateSync(fd, fromMiB * MIB);
    const script = "label: gpt\nsize=1MiB, name=bios\nsize=2MiB, name=esp\nname=root\n";
    expect(spawnSync("sfdisk", ["-q", path], { input: script }).status).toBe(0);
    ftruncateSync(fd, toMiB * MIB);
    const read = () => {
      const start = new Uint8Array(GPT_SECTORS * 512);
      readSync(fd, start, 0, start.length, 0);
      return start;
    };
    const growth = growGpt(read(), (toMiB * MIB) / 512, "root");
    for (const { sector, data } of growth?.writes.slice(0, steps) ?? [])
      writeSync(fd, data, 0, data.length, sector * 512);
    const json = spawnSync("sfdisk", ["--json", path], { encoding: "utf8" });
    const verify = spawnSync("sfdisk", ["--verify", path], { encoding: "utf8" });
    const { partitions } = JSON.parse(json.stdout).partitiontable as { partitions: { size: number; name: string }[] };
    const again = steps >= 4 ? growGpt(read(), (toMiB * MIB) / 512, "root") : undefined;
    closeSync(fd);
    return { growth, partitions, said: json.stderr + verify.stdout + verify.stderr, again };
  }

  it("its last partition and the table's copy reach the end, as sfdisk sees it", async () => {
    const { growth, partitions, said, again } = await grown(16, 64, 4);
    expect(growth?.partition).toBe(3);
    expect(partitions.map((p) => p.name)).toEqual(["bios", "esp", "root"]);
    expect(partitions[2]?.size).toBe(growth?.sectors);
    expect((partitions[2]?.size ?? 0) * 512).toBe((64 - 1 - 3 - 1) * MIB);
    expect(said).toContain("No errors detected");
    expect(again).toBeUndefined();
  });

  it.each([0, 1, 2, 3])("with the power cut after %i writes there is a whole table, old or new", async (steps) => {
    const { growth, partitions } = await grown(16, 32, steps);
    expect(partitions.map((p) => p.name)).toEqual(["bios", "esp", "root"]);
    expect([(16 - 1 - 3 - 1) * 2048, growth?.sectors]).toContain(partitions[2]?.size);
  });

  it("nothing is done to one that did not, or by less than a MiB", async () => {
    expect((await grown(16, 16, 4)).growth).toBeUndefined();
  });
});

it("refuses what it does not understand", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: GPT_SECTORS * 512, maxLength: GPT_SECTORS * 512 }), (bytes) => {
      expect(() => growGpt(bytes, 1 << 20, "root")).toThrow(/damaged or unusual/);
    }),
    { numRuns: 20 },
  );
});
