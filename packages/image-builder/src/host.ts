import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { HostToolsError } from "./errors.ts";

/** Programs that a build needs, and the Debian package of each. */
export const BUILD_TOOLS: Readonly<Record<string, string>> = {
  mmdebstrap: "mmdebstrap",
  "dpkg-deb": "dpkg",
  "apt-get": "apt",
  "mkfs.ext4": "e2fsprogs",
  "mkfs.vfat": "dosfstools",
  mcopy: "mtools",
  "grub-mkimage": "grub-common grub-pc-bin",
  strip: "binutils",
  readelf: "binutils",
  xz: "xz-utils",
  chroot: "coreutils",
};

const SYSTEM_DIRS = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/** The full path of a program, also from the sbin folders that users' PATHs lack. */
export function findProgram(name: string, path = process.env["PATH"] ?? ""): string | undefined {
  return [...path.split(delimiter), ...SYSTEM_DIRS]
    .map((dir) => join(dir, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/**
 * What keeps this host from building an image, as one line that says what to do; undefined when nothing does.
 * Checks names and rights only: it starts nothing.
 */
export function whyNotBuild(): string | undefined {
  if (process.platform !== "linux") return `an image is built on Linux, not on ${process.platform}`;
  const missing = Object.keys(BUILD_TOOLS).filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) {
    const packages = [...new Set(missing.map((name) => BUILD_TOOLS[name]))].join(" ");
    return `${missing.join(", ")} not found: apt-get install ${packages} debian-archive-keyring`;
  }
  if (process.getuid?.() !== 0) return "building an image needs root (owners and device nodes of the root file system)";
  return undefined;
}

/** @throws {HostToolsError} when {@link whyNotBuild} has a reason. */
export function requireBuildHost(): void {
  const reason = whyNotBuild();
  if (reason !== undefined) throw new HostToolsError(reason);
}
