import { spawn, spawnSync } from "node:child_process";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  type BootEntry,
  bootChecksum,
  decideBoot,
  entryOptions,
  type Firmware,
  MountedEsp,
  PARTITION_NAMES,
  planTransition,
  readBootState,
  readEsp,
} from "@keelson/boot";
import { type TempDir, tempDir } from "@keelson/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import type { BaseLayer } from "../src/base.ts";
import { encodeCpio } from "../src/cpio.ts";
import { readDefinition } from "../src/definition.ts";
import { partitionOf, planDisk, writeDisk } from "../src/disk.ts";
import { espFiles, writeEsp } from "../src/esp.ts";
import { defaultCacheDir, findProgram, silentProgress, whyNotBuild } from "../src/index.ts";
import { buildLockedBase } from "../src/locked-base.ts";

// The real boot loaders on the real firmware, with a system on trial that cannot boot. What they do must be what
// decideBoot says they do. Four boots each, of a kernel with nothing behind it.
const REPOSITORY = resolve(import.meta.dirname, "../../..");
const OVMF = { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.fd" };
const QEMU = findProgram("qemu-system-x86_64");
const TRIES = 3;
/** The last three make a kernel start faster under emulation. */
const KERNEL_ARGUMENTS = [
  "console=ttyS0",
  "panic=-1",
  "quiet",
  "mitigations=off",
  "no_timer_check",
  "cryptomgr.notests",
];
const BOOTS_MS = 240_000;

const problem =
  whyNotBuild() ?? (QEMU === undefined ? "qemu-system-x86_64 not found: apt-get install qemu-system-x86" : undefined);
if (problem !== undefined) process.stdout.write(`the boot loaders are not tested: ${problem}\n`);
const hasOvmf = await readFile(OVMF.code).then(
  () => true,
  () => false,
);
if (!hasOvmf) process.stdout.write(`UEFI is not tested: ${OVMF.code} not found: apt-get install ovmf\n`);

/** An initramfs whose first program says `word` and ends (which panics), or waits. */
function initramfsThatSays(busybox: Uint8Array, word: string, then: string): Uint8Array {
  const init = `#!/bin/sh\necho "KEELSON-TEST ${word}" >/dev/console\n${then}\n`;
  return encodeCpio([
    ...["bin", "dev"].map((path) => ({ path, mode: 0o040755 })),
    { path: "dev/console", mode: 0o020600, rdev: { major: 5, minor: 1 } },
    { path: "bin/busybox", mode: 0o100755, data: busybox },
    ...["sh", "sleep"].map((name) => ({ path: `bin/${name}`, mode: 0o120777, data: Buffer.from("busybox") })),
    { path: "init", mode: 0o100755, data: Buffer.from(init) },
  ]);
}

/** A disk with a good entry and a bad one on trial, both put there as a machine would. */
async function makeDisk(dir: TempDir, base: BaseLayer): Promise<{ disk: string; espOffset: number }> {
  const kernel = await readFile(base.kernel);
  const busybox = await readFile(base.busybox);
  const entry = (number: number, initramfs: Uint8Array): BootEntry => {
    const id = `keelson-${number}`;
    const deployment = `${String(number).repeat(64)}.0`;
    const options = entryOptions(KERNEL_ARGUMENTS, [], { id, deployment });
    return { id, number, deployment, bootcsum: bootChecksum(kernel, initramfs), options };
  };
  const goodInitramfs = initramfsThatSays(busybox, "good", "exec sleep 1000");
  const badInitramfs = initramfsThatSays(busybox, "bad", "exit 1");
  const [good, bad] = [entry(1, goodInitramfs), entry(2, badInitramfs)];
  const uefiLoader = await readFile(base.uefiLoader);
  const espTree = dir.join("tree");
  const files = new Map([
    ...espFiles({ entry: bad, kernel, initramfs: badInitramfs, uefiLoader }),
    ...espFiles({ entry: good, kernel, initramfs: goodInitramfs, uefiLoader }),
  ]);
  for (const [path, data] of files) {
    await mkdir(join(espTree, path, ".."), { recursive: true });
    await writeFile(join(espTree, path), data);
  }
  // The bad one is not yet an entry; it becomes the trial in the way a machine makes it one.
  const esp = new MountedEsp(espTree);
  await esp.removeFile("/loader/entries/keelson-2.conf");
  const target = {
    entries: [good, bad],
    view: { default: good.id, trial: { id: bad.id, triesLeft: TRIES, triesDone: 0 } },
  };
  for (const step of planTransition(await readEsp(esp), target, { own: "bios", first: "other" })) {
    if (step.do === "write") await esp.write(step.path, step.data);
    else if (step.do === "sector") await esp.writeAt(step.path, 0, step.data);
    else if (step.do === "rename") await esp.rename(step.from, step.to);
    else throw new Error(`unexpected step ${step.do} ${step.path}`);
  }
  const espImage = dir.join("esp.img");
  await writeEsp({
    target: espImage,
    workDir: dir.path,
    sizeMiB: 128,
    volumeId: "12345678",
    entry: good,
    kernel,
    initramfs: goodInitramfs,
    uefiLoader,
  });
  for (const name of await readdir(espTree)) {
    expect(spawnSync("mcopy", ["-o", "-s", "-Q", "-i", espImage, join(espTree, name), "::/"]).status).toBe(0);
  }
  const layout = planDisk({ espMiB: 128, rootMiB: 256, seed: "test" });
  const disk = dir.join("disk.img");
  await mkdir(dir.join("root"));
  const [workDir, sysroot] = [dir.path, dir.join("root")];
  await writeDisk({ target: disk, workDir, sysroot, esp: espImage, layout, seed: "test", epoch: 0 });
  return { disk, espOffset: partitionOf(layout, PARTITION_NAMES.esp).startBytes };
}

/** Runs the machine until the good system says so; returns what was said, in order. */
async function runUntilGood(dir: TempDir, disk: string, firmware: "bios" | "uefi"): Promise<string[]> {
  const serial = dir.join("serial");
  await copyFile(OVMF.variables, dir.join("variables")).catch(() => {});
  const pflash = ["-drive", `if=pflash,format=raw,readonly=on,file=${OVMF.code}`, "-drive"];
  const args = [
    ["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,hpet=off,vmport=off", "-m", "512"],
    ["-accel", "tcg", "-cpu", "qemu64,+rdrand", "-serial", `file:${serial}`],
    ["-drive", `if=none,id=d,file=${disk},format=raw,cache=unsafe`, "-device", "virtio-blk-pci,drive=d,bootindex=1"],
    firmware === "uefi" ? [...pflash, `if=pflash,format=raw,file=${dir.join("variables")}`] : [],
  ].flat();
  const child = spawn(QEMU ?? "", args, { stdio: "ignore" });
  try {
    const words = async () => {
      const text = await readFile(serial, "latin1").catch(() => "");
      return [...text.matchAll(/KEELSON-TEST (\w+)/g)].map((match) => match[1] ?? "");
    };
    await expect.poll(words, { timeout: BOOTS_MS, interval: 500 }).toContain("good");
    return await words();
  } finally {
    child.kill("SIGKILL");
  }
}

/** The state on the disk's ESP now. */
async function readDisk(dir: TempDir, disk: string, espOffset: number) {
  const out = dir.join("after");
  await mkdir(out);
  for (const name of ["loader", "grub"]) {
    const at = `${disk}@@${espOffset}`;
    expect(spawnSync("mcopy", ["-s", "-n", "-i", at, `::/${name}`, out]).status).toBe(0);
  }
  return readBootState(await readEsp(new MountedEsp(out)));
}

describe.skipIf(problem !== undefined)("a system on trial that cannot boot", () => {
  let base: BaseLayer;
  beforeAll(async () => {
    const definition = await readDefinition(join(REPOSITORY, "image"));
    const cacheDir = defaultCacheDir();
    base = await buildLockedBase(definition, definition.settings.suite, { cacheDir, progress: silentProgress });
  }, 600_000);

  it.each<["bios" | "uefi"]>([["bios"], ...(hasOvmf ? [["uefi"] as ["uefi"]] : [])])(
    "on %s is tried three times, then the last good one boots, as decideBoot says",
    async (firmware) => {
      await using dir = await tempDir("loaders");
      const { disk, espOffset } = await makeDisk(dir, base);
      await using before = await tempDir("loaders-before");
      let state = await readDisk(before, disk, espOffset);
      const said: string[] = [];
      do {
        const { entry, next } = decideBoot(state, firmware satisfies Firmware);
        said.push(entry.id === "keelson-1" ? "good" : "bad");
        state = next;
      } while (said.at(-1) !== "good" && said.length < 9);
      expect(await runUntilGood(dir, disk, firmware)).toEqual(said);
      expect(said).toEqual([...Array(TRIES).fill("bad"), "good"]);
      expect(await readDisk(dir, disk, espOffset)).toEqual(state);
    },
    BOOTS_MS + 60_000,
  );
});
