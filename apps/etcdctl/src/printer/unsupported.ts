import { Exit, ExitError } from "../exit.ts";
import type { Printer } from "./printer.ts";

/** A printer that can print nothing. @throws {ExitError} 4 by each method */
export function unsupported(format: string): Printer {
  const refuse = (): never => {
    throw new ExitError(Exit.BAD_FEATURE, `${format} not supported as output format`);
  };
  return {
    get: refuse,
    put: refuse,
    del: refuse,
    txn: refuse,
    watch: refuse,
    grant: refuse,
    revoke: refuse,
    keepAlive: refuse,
    timeToLive: refuse,
    leases: refuse,
    memberAdd: refuse,
    memberRemove: refuse,
    memberUpdate: refuse,
    memberPromote: refuse,
    memberList: refuse,
    health: refuse,
    status: refuse,
    hashKv: refuse,
    moveLeader: refuse,
    alarm: refuse,
  };
}
