import type { Logger } from "@keelson/types";
import type { UnitManager } from "@keelson/unit";

/** Which service manager runs the units. */
export type ManagerChoice =
  | {
      readonly kind: "systemd";
      /** Holds the unit files. */
      readonly unitsDirectory: string;
      /** Default: the system's bus. */
      readonly busAddress?: string;
      /** How to run journalctl. Default `["journalctl"]`. */
      readonly journalctl?: readonly [string, ...string[]];
    }
  | {
      readonly kind: "embedded";
      /** Of the process that `fleetd unit-manager` started. */
      readonly socketPath: string;
    };

/** A unit manager and how far its memory of finished units goes; see `AgentOptions.launchProof`. */
export interface OpenedManager {
  readonly manager: UnitManager;
  readonly launchProof: "memory" | "invocation";
}

/** Connects to the unit manager. It need not answer yet; only what was chosen is loaded into the process. */
export async function openManager(choice: ManagerChoice, logger: Logger): Promise<OpenedManager> {
  if (choice.kind === "embedded") {
    const { connectUnitManager } = await import("@keelson/linux");
    return { manager: connectUnitManager(choice.socketPath, { logger }), launchProof: "invocation" };
  }
  const { SystemdUnitManager } = await import("@keelson/dbus");
  return { manager: new SystemdUnitManager({ ...choice, logger }), launchProof: "memory" };
}

/** The life of an embedded unit manager's own process; returns after SIGTERM or SIGINT, when all units have ended. */
export async function runEmbeddedManager(options: {
  readonly directory: string;
  readonly socketPath: string;
  readonly machineId?: string;
  readonly hostname?: string;
  readonly logger: Logger;
}): Promise<void> {
  const { runUnitManager } = await import("@keelson/linux");
  await runUnitManager(options);
}
