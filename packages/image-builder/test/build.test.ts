import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { walkCommit } from "@keelson/ostree";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  buildImage,
  defaultCacheDir,
  findProgram,
  type ImageManifest,
  openBuildRepo,
  pinImage,
  whyNotBuild,
} from "../src/index.ts";

const REPOSITORY = resolve(import.meta.dirname, "../../..");
const problem = whyNotBuild();
if (problem !== undefined) process.stdout.write(`image builds are not tested: ${problem}\n`);

describe.skipIf(problem !== undefined)("a build", () => {
  let output = "";
  let manifest: ImageManifest;
  const steps: string[] = [];
  const progress = { step: (text: string) => void steps.push(text), detail() {}, warn() {} };
  const build = () => buildImage({ repository: REPOSITORY, output, progress });

  beforeAll(async () => {
    output = join(await mkdtemp(join(tmpdir(), "keelson-build-")), "image");
    manifest = await build();
    const mb = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
    process.stdout.write(
      `image: root ${mb(manifest.sizes.rootfsBytes)}, disk ${mb(manifest.sizes.diskUsedBytes)}, ` +
        `initramfs ${mb(manifest.sizes.initramfsBytes)}, ${manifest.setuidFiles} setuid files, ${manifest.buildMs} ms\n`,
    );
  }, 600_000);

  afterAll(async () => {
    if (output !== "") await rm(join(output, ".."), { recursive: true });
  });

  it("has no setuid files, no package manager, no shell history of its making", async () => {
    expect(manifest.setuidFiles).toBe(0);
    const rootfs = join(output, "rootfs");
    for (const gone of ["usr/bin/dpkg", "usr/bin/apt", "usr/bin/perl", "usr/share/man/man1", "var/lib/dpkg/info"]) {
      await expect(stat(join(rootfs, gone))).rejects.toThrow(/ENOENT/);
    }
    expect(await readdir(join(rootfs, "dev"))).toEqual([]);
    expect(await readFile(join(rootfs, "etc/machine-id"), "utf8")).toBe("");
  });

  it("has the programs and the users that its units name", async () => {
    expect(manifest.programs.map((p) => p.name)).toEqual(expect.arrayContaining(["etcd", "fleetd", "fleetctl"]));
    const rootfs = join(output, "rootfs");
    expect(await readFile(join(rootfs, "etc/passwd"), "utf8")).toMatch(/^etcd:x:230:230:/m);
    const wants = await readdir(join(rootfs, "etc/systemd/system/multi-user.target.wants"));
    expect(wants).toEqual(expect.arrayContaining(["etcd.service", "fleetd.service", "systemd-networkd.service"]));
  });

  it("has a root file system without faults where the GPT says it is", () => {
    // 1 MiB each for the GPT, GRUB and the bootlog, and the ESP.
    const offset = (1 + 1 + 128 + 1) * 1024 * 1024;
    const fsck = spawnSync(findProgram("e2fsck") ?? "e2fsck", [
      "-f",
      "-n",
      `${join(output, "disk.img")}?offset=${offset}`,
    ]);
    expect(String(fsck.stdout) + String(fsck.stderr)).not.toMatch(/UNEXPECTED|Fix\?/);
    expect(fsck.status).toBe(0);
  });

  it("has its commit as the deployment on the disk, whole, and an entry that boots it", async () => {
    await using repo = await openBuildRepo(defaultCacheDir());
    const missing: string[] = [];
    for await (const { type, checksum } of walkCommit(repo, manifest.commit, new Set())) {
      if (!(await repo.has(type, checksum))) missing.push(`${checksum}.${type}`);
    }
    expect(missing).toEqual([]);
    expect(manifest.deployment).toBe(`${manifest.commit}.0`);
    expect(manifest.options).toContain(`ostree=/ostree/deploy/keelson/deploy/${manifest.deployment}`);
    expect(manifest.esp.map((file) => file.path)).toEqual(
      expect.arrayContaining(["/EFI/BOOT/BOOTX64.EFI", "/grub/grub.cfg", "/loader/entries/keelson-1.conf"]),
    );
  });

  it("names the mirror nowhere", async () => {
    expect(await readFile(join(REPOSITORY, "image/packages.lock.json"), "utf8")).not.toMatch(/https?:/);
    expect(await readFile(join(output, "manifest.json"), "utf8")).not.toMatch(/https?:/);
  });

  it("is not made again from the same inputs, and does not touch an image in use", async () => {
    await using pin = await pinImage(output);
    steps.length = 0;
    const again = await build();
    expect(steps.at(-1)).toBe("the image is up to date");
    expect(again.inputs.key).toBe(manifest.inputs.key);
    expect((await stat(join(pin.directory, "disk.img"))).ino).toBe((await stat(join(output, "disk.img"))).ino);
  });
});
