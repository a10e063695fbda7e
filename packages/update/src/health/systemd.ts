import { runCommand } from "./command.ts";
import type { Check, Verdict } from "./gate.ts";

/** Units of the image are in here; others are the operator's or fleet's, and no fault of a version. */
const IMAGE_UNITS = "/usr/lib/systemd/system/";

const UNITS_MAX = 100;

/** Asks systemd; replaced in tests. Resolves with what `systemctl` printed on standard output. */
export type Systemctl = (args: readonly string[], signal: AbortSignal) => Promise<string>;

export const systemctl: Systemctl = async (args, signal) => (await runCommand("systemctl", args, signal)).stdout;

/**
 * The start is over and no unit of the image has failed. A failed unit of the operator or of fleet is named, but passes: a
 * container that crashes on the old version crashes on the new one, too.
 */
export function systemdCheck(ask: Systemctl = systemctl): Check {
  return {
    name: "systemd",
    isRequired: true,
    look: async (signal) => {
      const state = (await ask(["is-system-running"], signal)).trim();
      if (state === "running") return { outcome: "passed", detail: "" };
      if (state !== "degraded")
        return { outcome: "failed", detail: `the system is ${state === "" ? "unknown" : state}` };
      const failed = await ask(["list-units", "--state=failed", "--plain", "--no-legend", "--full"], signal);
      const names = failed.split("\n").flatMap((line) => line.trim().split(/\s+/, 1)[0] || []);
      if (names.length === 0) return { outcome: "passed", detail: "" };
      return judgeFailed(await ask(["show", "--property=Id,FragmentPath", "--", ...names.slice(0, UNITS_MAX)], signal));
    },
  };
}

/** From the output of `systemctl show`: blocks of `Id=` and `FragmentPath=`. */
export function judgeFailed(shown: string): Verdict {
  const units = shown.split("\n\n").flatMap((block) => {
    const id = /^Id=(.+)$/m.exec(block)?.[1];
    return id === undefined ? [] : [{ id, path: /^FragmentPath=(.+)$/m.exec(block)?.[1] ?? "" }];
  });
  const own = units.filter(({ path }) => path.startsWith(IMAGE_UNITS)).map(({ id }) => id);
  const others = units.filter(({ path }) => !path.startsWith(IMAGE_UNITS)).map(({ id }) => id);
  if (own.length > 0) return { outcome: "failed", detail: `failed: ${own.join(", ")}` };
  return { outcome: "passed", detail: others.length === 0 ? "" : `failed, but not of the image: ${others.join(", ")}` };
}
