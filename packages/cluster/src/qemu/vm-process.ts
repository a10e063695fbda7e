import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { ClusterError } from "../errors.ts";
import { Qmp } from "./qmp.ts";

/** Why a QEMU ended: the guest reset itself (which ends it with `-no-reboot`), powered off, or anything else. */
export type VmEnd = "reset" | "poweroff" | "other";

export interface VmProcessOptions {
  /** Program and arguments. */
  readonly argv: readonly string[];
  /** Where it runs; its sockets are `qmp.sock` and others below it. */
  readonly directory: string;
  readonly log: string;
  /** The guest was reset and QEMU goes on. */
  readonly onReset: () => void;
}

/** One QEMU, from its start to its end. */
export class VmProcess {
  /** Resolves when the process is gone and everything it said was heard. */
  readonly ended: Promise<VmEnd>;
  /** Aborted when it ends. */
  readonly signal: AbortSignal;
  /** Its control connection; rejects when it ends before there is one. */
  readonly qmp: Promise<Qmp>;
  readonly #child: ChildProcess;
  #lastWish: VmEnd = "other";

  private constructor(options: VmProcessOptions) {
    const [program = "", ...args] = options.argv;
    const log = openSync(options.log, "a");
    try {
      this.#child = spawn(program, args, { stdio: ["ignore", log, log], cwd: options.directory });
    } finally {
      closeSync(log);
    }
    const ended = new AbortController();
    this.signal = ended.signal;
    const gone = new Promise<void>((resolve) => {
      for (const event of ["exit", "error"]) {
        this.#child.once(event, () => {
          ended.abort(new ClusterError("QEMU has ended"));
          resolve();
        });
      }
    });
    this.qmp = Qmp.connect(
      join(options.directory, "qmp.sock"),
      (event, data) => {
        if (event === "SHUTDOWN") this.#lastWish = wishOf(data);
        if (event === "RESET" && data["guest"] === true) options.onReset();
      },
      this.signal,
    );
    this.qmp.catch(() => {});
    this.ended = this.#untilEnded(gone);
  }

  static async start(options: VmProcessOptions): Promise<VmProcess> {
    for (const name of ["qmp.sock", "debug.sock"]) await rm(join(options.directory, name), { force: true });
    return new VmProcess(options);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** SIGKILL: the guest's power is cut. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }

  async #untilEnded(gone: Promise<void>): Promise<VmEnd> {
    await gone;
    // What it said last may still be in the socket.
    await this.qmp.then((qmp) => qmp.closed).catch(() => {});
    return this.#child.signalCode === null ? this.#lastWish : "other";
  }
}

function wishOf(data: Readonly<Record<string, unknown>>): VmEnd {
  if (data["reason"] === "guest-reset") return "reset";
  return data["reason"] === "guest-shutdown" ? "poweroff" : "other";
}
