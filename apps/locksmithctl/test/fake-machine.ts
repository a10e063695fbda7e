import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually, type ProcessHandle, startProcess } from "@keelson/testkit";

const LOCKSMITHD = join(import.meta.dirname, "../src/locksmithd.ts");

const SYSTEMCTL = `#!/bin/sh
echo "$*" >> "$FAKE/calls"
case "$1" in
  is-system-running) cat "$FAKE/state"; grep -qx running "$FAKE/state";;
  reboot)
    if [ -e "$FAKE/inhibited" ] && [ "$2" != -i ]; then echo "Operation inhibited by a test" >&2; exit 1; fi
    : > "$FAKE/rebooting";;
esac
`;

/** A machine that runs locksmithd, with a systemctl and a loginctl of ours. */
export class FakeMachine implements AsyncDisposable {
  readonly id: string;
  readonly #dir: string;
  readonly #env: Readonly<Record<string, string>>;
  #daemon: ProcessHandle | undefined;

  private constructor(id: string, dir: string, env: Readonly<Record<string, string>>) {
    this.id = id;
    this.#dir = dir;
    this.#env = env;
  }

  static async make(id: string, dir: string, env: Readonly<Record<string, string>>): Promise<FakeMachine> {
    const machine = new FakeMachine(id, dir, env);
    await mkdir(machine.path("bin"), { recursive: true });
    const programs = { systemctl: SYSTEMCTL, loginctl: "#!/bin/sh\necho '[]'\n" };
    for (const [name, text] of Object.entries(programs)) {
      await writeFile(machine.path(`bin/${name}`), text);
      await chmod(machine.path(`bin/${name}`), 0o755);
    }
    await machine.setState("running");
    return machine;
  }

  path(name: string): string {
    return join(this.#dir, name);
  }

  get daemon(): ProcessHandle {
    if (this.#daemon === undefined) throw new Error(`${this.id} runs no locksmithd`);
    return this.#daemon;
  }

  async setState(state: string): Promise<void> {
    await writeFile(this.path("state"), `${state}\n`);
  }

  start(env: Readonly<Record<string, string>> = {}): ProcessHandle {
    const all = {
      PATH: `${this.path("bin")}:${process.env["PATH"]}`,
      FAKE: this.#dir,
      LOCKSMITHD_MACHINE_ID: this.id,
      LOCKSMITHD_NEED_REBOOT_FILE: this.path("run/need-reboot"),
      LOCKSMITHD_COORDINATOR_FILE: this.path("coordinator.conf"),
      ...this.#env,
      ...env,
    };
    this.#daemon = startProcess(process.execPath, [LOCKSMITHD], { name: this.id, env: all });
    return this.#daemon;
  }

  async needReboot(text = ""): Promise<void> {
    await mkdir(this.path("run"), { recursive: true });
    await writeFile(this.path("run/need-reboot"), text);
  }

  /** Resolves when locksmithd has ordered a reboot. */
  async untilRebooting(): Promise<void> {
    await eventually(() => existsSync(this.path("rebooting")), { timeoutMs: 60_000, what: `${this.id} reboots` });
  }

  /** The power goes, and with it what is in /run. */
  async powerOff(): Promise<void> {
    await this[Symbol.asyncDispose]();
    for (const name of ["rebooting", "run"]) await rm(this.path(name), { recursive: true, force: true });
  }

  async calls(): Promise<readonly string[]> {
    return (await readFile(this.path("calls"), "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
  }

  async coordinatorState(): Promise<string | undefined> {
    const text = await readFile(this.path("coordinator.conf"), "utf8").catch(() => "");
    return /^STATE=(.*)$/m.exec(text)?.[1];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon?.[Symbol.asyncDispose]();
    this.#daemon = undefined;
  }
}
