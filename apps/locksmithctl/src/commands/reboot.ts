import { formatErrorChain } from "@keelson/types";
import { machineId } from "../connect.ts";
import type { Context } from "../ctl.ts";
import { CommandError } from "../io.ts";
import { withSemaphore } from "./semaphore.ts";

/** `locksmithctl reboot`: takes the lock under a lease that survives the reboot, then reboots through systemd. */
export async function reboot(context: Context): Promise<number> {
  const { io, flags, settings } = context;
  if (io.uid !== 0) throw new CommandError("Must be root to initiate reboot.");
  const id = machineId(io);
  await withSemaphore(context, "Error locking:", async (semaphore, { client, connect }) => {
    const [{ EtcdMembers }, { systemdReboot }] = await Promise.all([
      import("@keelson/locksmith"),
      import("../systemd.ts"),
    ]);
    const hold = await semaphore.lock(id, {
      machine: io.hostname,
      reason: "locksmithctl reboot",
      wait: flags.get("wait")?.[0] === "true",
      quorum: new EtcdMembers({ client, connect, selfName: io.hostname, selfEndpoint: settings.endpoints[0] }),
      signal: io.signal,
      onWait: (reason) => io.err(`Waiting: ${reason}\n`),
    });
    if (!(await hold.confirm(io.signal))) throw new CommandError("Error locking: somebody gave the lock back");
    try {
      await systemdReboot("plain", io.signal);
      hold.letGo();
    } catch (error) {
      await hold.release(AbortSignal.timeout(RELEASE_MS)).catch(() => {});
      throw new CommandError(`Error rebooting: ${formatErrorChain(error)}`, 1, { cause: error });
    }
  });
  return 0;
}

const RELEASE_MS = 10_000;
