import type { LocksmithError, Semaphore } from "@keelson/locksmith";
import { formatErrorChain } from "@keelson/types";
import { type Connection, connectEtcd, initError } from "../connect.ts";
import type { Context } from "../ctl.ts";
import { CommandError } from "../io.ts";

/** Connects, works with the semaphore of the group, and closes. `what`: how upstream begins the text of a failure. */
export async function withSemaphore<T>(
  { settings, io }: Context,
  what: string,
  work: (semaphore: Semaphore, connection: Connection) => Promise<T>,
): Promise<T> {
  using connection = await connectEtcd(settings, io);
  const {
    LocksmithError: Base,
    Semaphore: Class,
    StoreUnavailableError: Unavailable,
  } = await import("@keelson/locksmith");
  try {
    return await work(new Class({ store: connection.store, group: settings.group }), connection);
  } catch (error) {
    if (error instanceof Unavailable) throw unavailable(error, what);
    if (error instanceof Base) throw new CommandError(`${what} ${formatErrorChain(error)}`, 1, { cause: error });
    throw error;
  }
}

function unavailable(error: LocksmithError & { readonly isOutcomeUnknown: boolean }, what: string): CommandError {
  if (!error.isOutcomeUnknown) return initError(error);
  const hint = "it may have happened all the same: look with locksmithctl status";
  return new CommandError(`${what} ${formatErrorChain(error)} (${hint})`, 1, { cause: error });
}
