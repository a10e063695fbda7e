import { UnitManagerError, UnitManagerUnavailableError } from "@keelson/unit";
import { DBusError } from "dbus-next";

/** D-Bus errors that say "systemd or the bus is not there now", by name. */
const UNAVAILABLE: ReadonlySet<string> = new Set([
  "org.freedesktop.DBus.Error.Disconnected",
  "org.freedesktop.DBus.Error.NoReply",
  "org.freedesktop.DBus.Error.NoServer",
  "org.freedesktop.DBus.Error.ServiceUnknown",
  "org.freedesktop.DBus.Error.NameHasNoOwner",
  "org.freedesktop.DBus.Error.Timeout",
  "org.freedesktop.DBus.Error.TimedOut",
]);

/** Makes an error of the port's out of one of the bus. The D-Bus name is in `details.dbusError`. */
export function portError(what: string, error: unknown): unknown {
  if (!(error instanceof DBusError)) return error;
  const Class = UNAVAILABLE.has(error.type) ? UnitManagerUnavailableError : UnitManagerError;
  return new Class(`systemd refused ${what}: ${error.text || error.type}`, { dbusError: error.type });
}

/** Whether the error is this one of the bus's. */
export function isBusError(error: unknown, name: string): boolean {
  if (error instanceof DBusError) return error.type === name;
  return error instanceof UnitManagerError && error.details["dbusError"] === name;
}
