import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { probeAcceleration, qemuArguments, type VmOptions, whyNotQemu } from "@keelson/cluster/qemu";
import {
  defaultOutput,
  ImageBuildError,
  type ImagePaths,
  imagePaths,
  pinImage,
  readManifest,
} from "@keelson/image-builder";
import { Command, InvalidArgumentError, Option } from "commander";
import type { Io } from "../io.ts";

interface RunFlags {
  output?: string;
  memory: number;
  cpus: number;
  hostname: string;
  append?: string;
  firmware: "direct" | "bios" | "uefi";
}

/** OVMF as Debian's package ovmf has it; its variables are forgotten with the machine. */
const OVMF = { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.fd" };

export function runCommand(io: Io): Command {
  return new Command("run")
    .summary("boot the built image once in QEMU, its console on this terminal")
    .description("Boots the built image in QEMU. What the machine writes is gone afterwards. Ctrl-A X ends it.")
    .option("--output <dir>", "where the image is (default: out/image)")
    .option("--memory <MiB>", "its memory", wholeNumber(256, 65_536), 512)
    .option("--cpus <n>", "its CPUs", wholeNumber(1, 64), 2)
    .option("--hostname <name>", "its host name, and so the name of its etcd", "keelson")
    .addOption(
      new Option("--firmware <kind>", "how it starts: direct gives QEMU the kernel, the others the disk")
        .choices(["direct", "bios", "uefi"])
        .default("direct"),
    )
    .option("--append <words>", "more kernel arguments, with --firmware direct")
    .action(async (flags: RunFlags) => {
      const problem = whyNotQemu();
      if (problem !== undefined) throw new ImageBuildError(problem);
      await using image = await pinImage(flags.output ?? defaultOutput(io.repository));
      const paths = imagePaths(image.directory);
      const acceleration = await probeAcceleration("qemu-system-x86_64", paths.kernel);
      const firmware = await firmwareOf(flags, paths);
      await using _variables = removeAtEnd(firmware);
      const args = qemuArguments({
        acceleration,
        cpus: flags.cpus,
        memoryMiB: flags.memory,
        firmware: { kind: "direct", kernel: paths.kernel, initramfs: paths.initramfs },
        disk: { file: join(image.directory, "disk.img"), format: "raw", snapshot: true },
        hostname: flags.hostname,
        isQuiet: false,
        kernelArguments: flags.append === undefined ? [] : flags.append.split(" "),
        extra: ["-serial", "mon:stdio", "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="],
      });
      io.err(`osctl: booting with ${acceleration}; Ctrl-A X ends the machine\n`);
      const child = spawn("qemu-system-x86_64", args, { stdio: "inherit" });
      const stop = () => child.kill("SIGKILL");
      io.signal.addEventListener("abort", stop, { once: true });
      const [code] = (await once(child, "exit")) as [number | null];
      io.signal.removeEventListener("abort", stop);
      if (code !== 0 && !io.signal.aborted) throw new ImageBuildError(`QEMU ended with exit code ${code ?? "none"}`);
    });
}

async function firmwareOf({ firmware, append }: RunFlags, paths: ImagePaths): Promise<VmOptions["firmware"]> {
  if (firmware === "direct") {
    return { kind: "direct", kernel: paths.kernel, initramfs: paths.initramfs, options: await entryOptionsOf(paths) };
  }
  if (append !== undefined) throw new ImageBuildError("--append works with --firmware direct only");
  if (firmware === "bios") return { kind: "bios" };
  const isThere = (await stat(OVMF.code).catch(() => undefined)) !== undefined;
  if (!isThere) throw new ImageBuildError(`${OVMF.code} not found: apt-get install ovmf`);
  // QEMU writes into the variables, so the machine has its own.
  const variables = join(await mkdtemp(join(tmpdir(), "osctl-run-")), "variables.fd");
  await copyFile(OVMF.variables, variables);
  return { kind: "uefi", code: OVMF.code, variables };
}

function removeAtEnd(firmware: VmOptions["firmware"]): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      if (firmware.kind === "uefi") await rm(dirname(firmware.variables), { recursive: true });
    },
  };
}

/** The kernel arguments of the disk's one entry. */
async function entryOptionsOf({ directory }: ImagePaths): Promise<string> {
  return (await readManifest(directory)).options;
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`a whole number from ${min} to ${max} is needed.`);
  };
}
