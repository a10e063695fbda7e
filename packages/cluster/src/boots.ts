import { ClusterError, MachineStateError } from "./errors.ts";
import type { Machine, MachineState } from "./port.ts";
import { waitFor } from "./wait.ts";

const POLL_MS = 100;

/** What {@link waitOtherBoot} looks at. */
export interface BootView {
  readonly name: string;
  readonly state: MachineState;
  /** Of the boot that is up, or was last. */
  readonly lastBootId: string | undefined;
}

/** Asks a machine to reboot itself and waits until it has. */
export async function rebootInOrder(machine: Machine & BootView, timeoutMs: number): Promise<string> {
  const before = await machine.bootId();
  // A machine that goes down at once may not answer any more.
  await machine.exec("systemctl --no-block reboot").catch((error: unknown) => {
    if (!(error instanceof MachineStateError)) throw error;
  });
  return await waitOtherBoot(machine, before, timeoutMs);
}

/** Waits until another boot than `after` is up. @throws ClusterError when that takes too long or the machine ends */
export async function waitOtherBoot(machine: BootView, after: string | undefined, timeoutMs: number): Promise<string> {
  const ended = new AbortController();
  return await waitFor(
    `a reboot of ${machine.name}`,
    () => {
      if (machine.lastBootId !== after && machine.lastBootId !== undefined) return machine.lastBootId;
      if (machine.state === "stopped")
        ended.abort(new ClusterError(`machine ${machine.name} has ended instead of rebooting`));
      return undefined;
    },
    { timeoutMs, everyMs: POLL_MS, signal: ended.signal },
  );
}
