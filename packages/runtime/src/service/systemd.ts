import { run } from "@keelson/linux";
import { parseServices, SERVICE_PROPERTIES, type ServiceFacts } from "../core/state.ts";
import { systemdRunArguments, type UnitPlan, type UnitSetting } from "../core/units.ts";
import { PodError } from "../errors.ts";

/** What the runtime wants of systemd. The real one runs systemctl; tests have a table. */
export interface ServiceManager {
  /** What is known of services. One that is not loaded has the load state `not-found`. */
  show(names: readonly string[]): Promise<ReadonlyMap<string, ServiceFacts>>;
  /** Starts a transient service and waits until it runs. @throws PodError with the end of its log */
  start(unit: UnitPlan): Promise<void>;
  /** Stops services and waits for their end; `isForced` kills them first. Those that do not run are no error. */
  stop(names: readonly string[], isForced: boolean, timeoutMs: number): Promise<void>;
  /** Changes settings of a running unit until the next boot. */
  setProperties(name: string, settings: readonly UnitSetting[]): Promise<void>;
}

const START_MS_MAX = 150_000;

/** systemd of this machine. `prefix` comes before every command: how to get to another machine's, for tests. */
export function systemctlManager(prefix: readonly string[] = []): ServiceManager {
  const command = (...argv: string[]): [string, ...string[]] =>
    [...prefix, ...argv] as unknown as [string, ...string[]];
  return {
    async show(names) {
      if (names.length === 0) return new Map();
      const properties = SERVICE_PROPERTIES.map((name) => `--property=${name}`);
      const { stdout } = await run(command("systemctl", "show", "--timestamp=unix", ...properties, "--", ...names), {
        maxOutputBytes: 16 * 1024 * 1024,
      });
      return parseServices(stdout);
    },
    async start(unit) {
      const { exitCode, stderr } = await run(command(...systemdRunArguments(unit)), {
        check: false,
        timeoutMs: START_MS_MAX,
      });
      if (exitCode === 0) return;
      const log = await run(
        command("journalctl", `--unit=${unit.name}`, "--output=cat", "--quiet", "--lines=6", "--no-pager"),
        { check: false },
      );
      const said = log.stdout.trim().replaceAll("\n", "; ");
      throw new PodError(
        `${unit.name} did not start: ${stderr.trim()}${said === "" ? "" : ` (its log ends: ${said})`}`,
        { unit: unit.name },
      );
    },
    async stop(names, isForced, timeoutMs) {
      if (names.length === 0) return;
      // The main process alone: systemd kills the rest when it stops (KillMode=mixed). To kill the whole cgroup has been
      // seen to kill what systemd runs in it afterwards, too (systemd 257 on Linux 6.18: ExecStopPost never began).
      if (isForced) {
        const kill = command("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "--", ...names);
        await run(kill, { check: false });
      }
      const { exitCode, stderr } = await run(command("systemctl", "stop", "--", ...names), { check: false, timeoutMs });
      // 5: not loaded, so it has ended and is forgotten.
      if (exitCode !== 0 && exitCode !== 5)
        throw new PodError(`${names.join(" ")} could not be stopped: ${stderr.trim()}`);
    },
    async setProperties(name, settings) {
      if (settings.length === 0) return;
      await run(
        command("systemctl", "set-property", "--runtime", name, ...settings.map(([key, value]) => `${key}=${value}`)),
      );
    },
  };
}
