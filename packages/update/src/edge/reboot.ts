import { execFile } from "node:child_process";
import { UpdatePortError } from "../errors.ts";
import type { Rebooter } from "../ports.ts";

const TIMEOUT_MS = 30_000;

/** Reboots through systemd, which stops every unit in order. */
export class SystemdRebooter implements Rebooter {
  readonly #command: string;

  constructor(command = "systemctl") {
    this.#command = command;
  }

  reboot(): Promise<void> {
    return new Promise((resolve, reject) => {
      // What `systemctl reboot` falls back to without logind, which a node does not run.
      const args = ["start", "--no-block", "--job-mode=replace-irreversibly", "reboot.target"];
      execFile(this.#command, args, { timeout: TIMEOUT_MS }, (cause, _stdout, stderr) => {
        if (cause === null) resolve();
        else
          reject(new UpdatePortError(`systemctl start reboot.target: ${stderr.trim().slice(0, 500)}`, {}, { cause }));
      });
    });
  }
}
