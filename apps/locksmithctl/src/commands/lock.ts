import { machineId } from "../connect.ts";
import type { Context } from "../ctl.ts";
import { withSemaphore } from "./semaphore.ts";

/** `locksmithctl lock [ID]`: by hand, so without a lease, until it is unlocked. */
export async function lock(context: Context): Promise<number> {
  const { io, flags, args } = context;
  await withSemaphore(context, "Error locking:", async (semaphore) => {
    const id = args[0] ?? machineId(io);
    await semaphore.lock(id, {
      kind: "manual",
      reason: "locked by hand",
      wait: flags.get("wait")?.[0] === "true",
      signal: io.signal,
      ...(args[0] === undefined ? { machine: io.hostname } : {}),
      onWait: (reason) => io.err(`Waiting: ${reason}\n`),
    });
  });
  return 0;
}

/** `locksmithctl unlock [ID]`, and `unlock --stale`. */
export async function unlock(context: Context): Promise<number> {
  const { io, flags, args } = context;
  await withSemaphore(context, "Error unlocking:", async (semaphore) => {
    if (flags.get("stale")?.[0] !== "true") return await semaphore.unlock(args[0] ?? machineId(io), io.signal);
    for (const { id, record } of await semaphore.reap(io.hostname, io.signal)) {
      const denied =
        record?.version !== undefined && record.isGoingDown === true ? `, denied version ${record.version}` : "";
      io.out(`Unlocked ${id}${denied}\n`);
    }
  });
  return 0;
}
