import { execFile } from "node:child_process";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type { Context } from "../ctl.ts";
import { CommandError } from "../io.ts";

const SIGNAL = ["--system", "emit", "/com/coreos/update1", "com.coreos.update1.Manager", "StatusUpdate"];
const STATUS = ["xdssx", "0", "0", "UPDATE_STATUS_UPDATED_NEED_REBOOT", "", "0"];

/** `locksmithctl send-need-reboot`: the file that locksmithd watches, and upstream's signal for those who listen to that. */
export async function sendNeedReboot({ settings, io }: Context): Promise<number> {
  const path = settings.needRebootFile;
  try {
    await mkdir(dirname(path), { recursive: true });
    // In one step: whoever watches must not read half of it.
    await writeFile(`${path}.new`, "locksmithctl send-need-reboot\n", { mode: 0o644 });
    await rename(`${path}.new`, path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CommandError(`error writing ${path}: ${why}`, 1, { cause: error });
  }
  try {
    await promisify(execFile)("busctl", [...SIGNAL, ...STATUS], { timeout: 5_000 });
  } catch (error) {
    // No bus is no failure: the file is what counts here.
    if (settings.debug) io.err(`error emitting signal: ${String(error)}\n`);
  }
  return 0;
}
