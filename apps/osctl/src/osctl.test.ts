import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { ImageManifest } from "@keelson/image-builder";
import { describe, expect, it } from "vitest";
import { summary } from "./commands/build.ts";
import { stderrProgress } from "./progress.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const osctl = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
};

const MANIFEST: ImageManifest = {
  manifestVersion: 2,
  name: "keelson",
  version: "0.1.0+abc",
  suite: "trixie",
  architecture: "amd64",
  kernel: "6.12.1",
  node: "v26.0.0",
  packages: 105,
  programs: [{ name: "etcd", bytes: 1 }],
  commit: "c",
  deployment: "c.0",
  options: "quiet",
  esp: [{ path: "/EFI/BOOT/BOOTX64.EFI", bytes: 1 }],
  rootGuid: "x",
  sizes: { rootfsBytes: 193e6, diskBytes: 2e9, diskUsedBytes: 280e6, kernelBytes: 12e6, initramfsBytes: 2.6e6 },
  setuidFiles: 0,
  inputs: { base: "b", definition: "d", programs: "p", variant: "v", key: "k" },
  buildMs: 3900,
};

it("sums an image up", () => {
  expect(summary(MANIFEST, "/out/image")).toBe(
    [
      "keelson 0.1.0+abc: kernel 6.12.1, Node v26.0.0, 105 packages",
      "root file system 193.0 MB, disk 280.0 MB used, kernel 12.0 MB, initramfs 2.6 MB, 0 setuid files",
      "programs: etcd",
      "commit c",
      "in /out/image, built in 3.9 s. Next: osctl run",
      "",
    ].join("\n"),
  );
});

it("shows steps always and details when asked", () => {
  const lines: string[] = [];
  for (const verbose of [false, true]) {
    const progress = stderrProgress({ verbose, write: (text) => void lines.push(text.replace(/^ *[\d.]+ s {2}/, "")) });
    progress.step("step");
    progress.detail("detail");
    progress.warn("careful");
  }
  expect(lines).toEqual(["step\n", "warning: careful\n", "step\n", "  detail\n", "warning: careful\n"]);
});

describe("bad input ends with a reason and changes nothing", () => {
  it.each([
    [["build", "--frozzen"], 2, /unknown option '--frozzen'/],
    [["run", "--cpus", "none"], 2, /a whole number from 1 to 64/],
    [["nonsense"], 2, /unknown command 'nonsense'/],
    [["manifest", "--output", "/nonexistent/image"], 1, /osctl: no image in \/nonexistent\/image: run osctl build/],
  ])("osctl %j", (args, status, want) => {
    const result = osctl(...args);
    expect(result.status).toBe(status);
    expect(result.stderr).toMatch(want);
    expect(result.stdout).toBe("");
  });

  it("help and version end with 0", () => {
    expect(osctl("--help")).toMatchObject({ status: 0, stderr: "" });
    expect(osctl("--version")).toMatchObject({ status: 0, stdout: "0.1.0\n" });
  });
});
