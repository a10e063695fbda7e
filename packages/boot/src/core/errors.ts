import { CoreError } from "@keelson/types";

/** What is on the ESP cannot be booted or read: which file, why, and what to do. */
export class BootStateError extends CoreError<"ERR_BOOT_STATE"> {
  readonly code = "ERR_BOOT_STATE";
}

/** A boot entry cannot be written as asked; nothing was changed. */
export class BootEntryError extends CoreError<"ERR_BOOT_ENTRY"> {
  readonly code = "ERR_BOOT_ENTRY";
}

/** The ESP has no room for another kernel, even without what no entry needs; nothing bootable was changed. */
export class EspFullError extends CoreError<"ERR_ESP_FULL"> {
  readonly code = "ERR_ESP_FULL";
}
