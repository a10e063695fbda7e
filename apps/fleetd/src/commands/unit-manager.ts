import { runEmbeddedManager } from "@keelson/fleet";
import { createLogger } from "@keelson/log";

/** Flags of `fleetd unit-manager`. */
export interface UnitManagerFlags {
  readonly directory: string;
  readonly socket: string;
  readonly machineId?: string;
  readonly hostname?: string;
}

/** `fleetd unit-manager`: the parent of the machine's units; ends, and they with it, on SIGTERM. */
export async function runUnitManagerCommand(flags: UnitManagerFlags): Promise<number> {
  const logger = createLogger({ component: "unit-manager" });
  const alive = setInterval(() => {}, 1 << 30);
  const { directory, socket: socketPath, machineId, hostname } = flags;
  logger.info("unit manager starts", { directory, socket: socketPath });
  try {
    await runEmbeddedManager({
      directory,
      socketPath,
      logger,
      ...(machineId === undefined ? {} : { machineId }),
      ...(hostname === undefined ? {} : { hostname }),
    });
  } finally {
    clearInterval(alive);
  }
  logger.info("unit manager has stopped all units");
  return 0;
}
