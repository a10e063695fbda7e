import { spawn } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import type { Acceleration } from "./arguments.ts";

/** An unmodified kernel on real KVM prints its first line within a tenth of this. */
const PROBE_MS = 3_000;

/**
 * Whether KVM runs an unmodified kernel at speed: by booting one without a root and waiting for its first line. The
 * device file proves nothing (some hosts emulate every instruction behind it), nor does QEMU's start.
 */
export async function probeAcceleration(qemu: string, kernel: string): Promise<Acceleration> {
  if (!mayHaveKvm()) return "tcg";
  const child = spawn(
    qemu,
    [
      ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-m", "256"],
      ["-machine", "q35", "-accel", "kvm", "-cpu", "host", "-serial", "stdio"],
      ["-kernel", kernel, "-append", "console=ttyS0 earlyprintk=serial panic=-1"],
    ].flat(),
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  try {
    const { promise, resolve } = Promise.withResolvers<Acceleration>();
    let text = "";
    child.once("error", () => resolve("tcg"));
    child.once("close", () => resolve("tcg"));
    child.stdout.setEncoding("latin1").on("data", (chunk: string) => {
      text = (text + chunk).slice(-4096);
      if (text.includes("Linux version")) resolve("kvm");
    });
    const timer = setTimeout(() => resolve("tcg"), PROBE_MS);
    const found = await promise;
    clearTimeout(timer);
    return found;
  } finally {
    child.kill("SIGKILL");
  }
}

/** Cheap reasons why there is no KVM. */
function mayHaveKvm(): boolean {
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
    return /^flags\s*:.*\b(svm|vmx)\b/m.test(readFileSync("/proc/cpuinfo", "utf8"));
  } catch {
    return false;
  }
}
