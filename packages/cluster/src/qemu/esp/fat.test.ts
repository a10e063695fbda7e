import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "@keelson/image-builder";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FatReader } from "./fat.ts";

const missing = ["mkfs.vfat", "mcopy", "mmd"].filter((name) => findProgram(name) === undefined);
if (missing.length > 0) process.stdout.write(`FAT is not tried: the host lacks ${missing.join(", ")}\n`);

describe.skipIf(missing.length > 0).each([
  ["FAT16", 64, ["-F", "16"]],
  ["FAT32", 128, ["-F", "32"]],
] as const)("%s as mkfs.vfat and mtools write it", (_name, sizeMiB, options) => {
  const directory = mkdtempSync(join(tmpdir(), "keelson-fat-"));
  const image = join(directory, "fat.img");
  const big = randomBytes(3_000_001);
  let file: FileHandle;
  let fat: FatReader;

  const mtools = (program: string, ...args: string[]) => execFileSync(program, ["-i", image, ...args]);
  const add = (path: string, content: string | Buffer) => {
    const source = join(directory, "source");
    writeFileSync(source, content);
    mtools("mcopy", "-D", "o", source, `::${path}`);
  };
  const reopen = async () =>
    await FatReader.open(async (offset, length) => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    });

  beforeAll(async () => {
    writeFileSync(image, "");
    truncateSync(image, sizeMiB << 20);
    execFileSync("mkfs.vfat", [...options, image]);
    for (const path of ["loader", "loader/entries", "grub"]) mtools("mmd", `::/${path}`);
    add("/loader/entries/keelson-1.conf", "one\n");
    add("/loader/entries/keelson-2+3-1.conf", "two\n");
    add("/grub/grubenv", "env".padEnd(1024, "#"));
    add("/vmlinuz", big);
    // More names than one cluster holds, and holes where some were.
    const names = Array.from({ length: 80 }, (_, i) => `a rather long file name, number ${i}`);
    for (const [i, name] of names.entries()) writeFileSync(join(directory, name), String(i));
    mtools("mcopy", ...names.map((name) => join(directory, name)), "::/grub/");
    mtools("mdel", ...names.filter((_, i) => i % 2 === 0).map((name) => `::/grub/${name}`));
    file = await open(image);
    fat = await reopen();
  });
  afterAll(async () => {
    await file.close();
    rmSync(directory, { recursive: true });
  });

  it("lists long and short names", async () => {
    const names = (await fat.list("/loader/entries"))?.map(({ name }) => name).toSorted();
    expect(names).toEqual(["keelson-1.conf", "keelson-2+3-1.conf"]);
    expect((await fat.list("/"))?.map(({ name, isDirectory }) => [name, isDirectory])).toEqual([
      ["loader", true],
      ["grub", true],
      ["vmlinuz", false],
    ]);
    expect(await fat.list("/grub")).toHaveLength(41);
    expect(await fat.list("/nowhere")).toBeUndefined();
  });

  it("reads files whole", async () => {
    expect((await fat.read("/vmlinuz"))?.equals(big)).toBe(true);
    expect((await fat.read("/GRUB/a rather long file name, number 79"))?.toString()).toBe("79");
    expect(await fat.read("/grub/nothing")).toBeUndefined();
    expect(await fat.read("/grub")).toBeUndefined();
  });

  it("tells where a file is", async () => {
    const { offset } = (await fat.locate("/grub/grubenv")) ?? { offset: 0 };
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, offset);
    expect(buffer.toString()).toBe("env#");
  });
});

it("says so when there is no FAT", async () => {
  await expect(FatReader.open(async (_, length) => Buffer.alloc(length))).rejects.toThrow("no FAT file system");
});
