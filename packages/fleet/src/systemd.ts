import type { Logger } from "@keelson/types";
import type { UnitManager } from "@keelson/unit";
import { ConfigError } from "./errors.ts";

/** Opens systemd over D-Bus. */
export function openSystemd(
  _choice: { unitsDirectory: string; isUser: boolean },
  _logger: Logger,
): Promise<UnitManager> {
  return Promise.reject(new ConfigError("systemd is not wired yet"));
}
