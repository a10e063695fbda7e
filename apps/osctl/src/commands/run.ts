import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { probeAcceleration, qemuArguments, whyNotQemu } from "@keelson/cluster/qemu";
import { defaultOutput, ImageBuildError, imagePaths, pinImage } from "@keelson/image-builder";
import { Command, InvalidArgumentError } from "commander";
import type { Io } from "../io.ts";

interface RunFlags {
  output?: string;
  memory: number;
  cpus: number;
  hostname: string;
  append?: string;
}

export function runCommand(io: Io): Command {
  return new Command("run")
    .summary("boot the built image once in QEMU, its console on this terminal")
    .description("Boots the built image in QEMU. What the machine writes is gone afterwards. Ctrl-A X ends it.")
    .option("--output <dir>", "where the image is (default: out/image)")
    .option("--memory <MiB>", "its memory", wholeNumber(256, 65_536), 512)
    .option("--cpus <n>", "its CPUs", wholeNumber(1, 64), 2)
    .option("--hostname <name>", "its host name, and so the name of its etcd", "keelson")
    .option("--append <words>", "more kernel arguments")
    .action(async (flags: RunFlags) => {
      const problem = whyNotQemu();
      if (problem !== undefined) throw new ImageBuildError(problem);
      await using image = await pinImage(flags.output ?? defaultOutput(io.repository));
      const paths = imagePaths(image.directory);
      const acceleration = await probeAcceleration("qemu-system-x86_64", paths.kernel);
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

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`a whole number from ${min} to ${max} is needed.`);
  };
}
