import { execFile } from "node:child_process";
import { UpdatePortError } from "../errors.ts";
import type { Rebooter } from "../ports.ts";

const TIMEOUT_MS = 30_000;

/** Reboots through systemd, which stops every unit in order. The reason is in the journal and on consoles. */
export class SystemdRebooter implements Rebooter {
  readonly #command: string;

  constructor(command = "systemctl") {
    this.#command = command;
  }

  reboot(reason: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const args = ["reboot", "--no-block", `--message=Keelson: ${reason.slice(0, 200)}`];
      execFile(this.#command, args, { timeout: TIMEOUT_MS }, (cause, _stdout, stderr) => {
        if (cause === null) resolve();
        else reject(new UpdatePortError(`systemctl reboot: ${stderr.trim().slice(0, 500)}`, {}, { cause }));
      });
    });
  }
}
