import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeGrubenv, encodeGrubenv, formatEntryFile, grubenvFromView, type LoaderView } from "@keelson/boot/core";
import { findProgram } from "@keelson/image-builder";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decideDirectBoot, hasBootEntries } from "./direct.ts";

const missing = ["mkfs.vfat", "mcopy", "mmd", "sfdisk"].filter((name) => findProgram(name) === undefined);
if (missing.length > 0) process.stdout.write(`direct boots are not tried: the host lacks ${missing.join(", ")}\n`);

const MIB = 1 << 20;
const ESP_MIB = 64;

describe.skipIf(missing.length > 0)("a direct boot", () => {
  let directory: string;
  let disk: string;
  const esp = () => ["-i", `${disk}@@${MIB}`];
  const put = (path: string, content: string | Uint8Array) => {
    const source = join(directory, "source");
    writeFileSync(source, content);
    execFileSync("mcopy", [...esp(), "-D", "o", source, `::${path}`]);
  };
  const get = (path: string) => {
    const target = join(directory, "target");
    rmSync(target, { force: true });
    execFileSync("mcopy", [...esp(), `::${path}`, target]);
    return readFileSync(target);
  };
  const entry = (number: number) => ({
    id: `keelson-${number}`,
    number,
    deployment: `${"a".repeat(64)}.${number}`,
    bootcsum: String(number).repeat(64),
    options: `quiet ostree=/ostree/deploy/keelson/deploy/${"a".repeat(64)}.${number} keelson.entry=keelson-${number}`,
  });
  const install = (number: number, counters = "") => {
    const kernels = `/keelson/${entry(number).bootcsum}`;
    execFileSync("mmd", [...esp(), `::${kernels}`]);
    put(`${kernels}/vmlinuz`, `kernel ${number}`);
    put(`${kernels}/initramfs`, `initramfs ${number}`);
    put(`/loader/entries/keelson-${number}${counters}.conf`, formatEntryFile(entry(number)));
  };
  const say = (view: LoaderView) => put("/grub/grubenv", encodeGrubenv(grubenvFromView(view)));
  const boot = async () => await decideDirectBoot(disk, join(directory, "kernels"));

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "keelson-direct-"));
    disk = join(directory, "disk.raw");
    writeFileSync(disk, "");
    truncateSync(disk, (ESP_MIB + 4) * MIB);
    execFileSync("sfdisk", ["-q", disk], {
      input: `label: gpt\nstart=1MiB, size=${ESP_MIB}MiB, type=uefi, name=esp\ntype=linux, name=root\n`,
    });
    execFileSync("mkfs.vfat", ["--offset", String(MIB / 512), disk, String(ESP_MIB * 1024)]);
    for (const path of ["loader", "loader/entries", "grub", "keelson"]) execFileSync("mmd", [...esp(), `::/${path}`]);
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it("counts a trial's tries on the disk, then goes back to what was good", async () => {
    expect(await hasBootEntries(disk)).toBe(false);
    install(1);
    install(2, "+2");
    say({ default: "keelson-1", trial: { id: "keelson-2", triesLeft: 2, triesDone: 0 } });
    expect(await hasBootEntries(disk)).toBe(true);
    const tried = await boot();
    expect(tried.options).toBe(entry(2).options);
    expect(readFileSync(tried.kernel, "utf8")).toBe("kernel 2");
    expect(readFileSync(tried.initramfs, "utf8")).toBe("initramfs 2");
    expect(decodeGrubenv(get("/grub/grubenv")).get("tries")).toBe("1");
    expect((await boot()).entry).toBe("keelson-2");
    const back = [await boot(), await boot()];
    expect(back.map((b) => b.entry)).toEqual(["keelson-1", "keelson-1"]);
    expect(readFileSync(back[0]?.kernel ?? "", "utf8")).toBe("kernel 1");
  });

  it("changes nothing on the disk when nothing is on trial", async () => {
    install(1);
    say({ default: "keelson-1" });
    const before = readFileSync(disk);
    expect((await boot()).entry).toBe("keelson-1");
    expect(readFileSync(disk).equals(before)).toBe(true);
  });

  it("says what is missing", async () => {
    await expect(boot()).rejects.toThrow(/nothing to boot/);
    install(1);
    say({ default: "keelson-1" });
    execFileSync("mdel", [...esp(), `::/keelson/${entry(1).bootcsum}/initramfs`]);
    await expect(boot()).rejects.toThrow(/entry keelson-1 names \/keelson\/1+\/initramfs, which the ESP does not have/);
    truncateSync(disk, 0);
    truncateSync(disk, MIB);
    await expect(boot()).rejects.toThrow("the disk has no GPT");
    expect(existsSync(disk)).toBe(true);
  });
});
