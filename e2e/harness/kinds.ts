import type { MachineProvider } from "@keelson/cluster";
import { ProcessProvider } from "@keelson/cluster";
import { findProgram } from "@keelson/image-builder";

export type Kind = MachineProvider["kind"];

/** Why machines of this kind cannot run here, or undefined when they can. Printed when a suite is skipped. */
export function whyNot(kind: Kind): string | undefined {
  const wanted = process.env["KEELSON_E2E_KINDS"];
  if (wanted !== undefined && !wanted.split(",").includes(kind)) return `KEELSON_E2E_KINDS=${wanted} leaves it out`;
  if (kind === "process") return undefined;
  if (process.platform !== "linux") return "it needs Linux";
  if (process.getuid?.() !== 0) return "it needs root (the image is built by mmdebstrap as root)";
  const missing = {
    container: ["mmdebstrap", "nsenter", "ip"],
    qemu: ["mmdebstrap", "qemu-system-x86_64"],
  }[kind].filter((name) => findProgram(name) === undefined);
  return missing.length > 0 ? `the host lacks ${missing.join(", ")}` : undefined;
}

/** Scenarios of many boots, which under emulation take longer than all of CI may. */
export function whyNotFull(): string | undefined {
  return process.env["KEELSON_E2E"] === "full" ? undefined : "it takes an hour under emulation: set KEELSON_E2E=full";
}

export async function makeProvider(kind: Kind): Promise<MachineProvider> {
  switch (kind) {
    case "process":
      return new ProcessProvider();
    case "container":
      return (await import("@keelson/cluster/container")).createContainerProvider({});
    case "qemu":
      return (await import("@keelson/cluster/qemu")).createQemuProvider({});
  }
}
