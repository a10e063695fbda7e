import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Clock } from "@keelson/types";
import { type JobResult, SIGNALS, type UnitStatus } from "@keelson/unit";
import type { ProcessExit } from "../core/exit.ts";
import type { ServiceConfig } from "../core/service-config.ts";
import { type Role, type ServiceEffect, type ServiceEvent, ServiceMachine } from "../core/service-machine.ts";
import type { JournalFile } from "./journal-file.ts";
import { forgetInvocation, recordInvocation } from "./leftovers.ts";
import { NotifyFile } from "./notify.ts";
import { INVOCATION_VARIABLE, ProcessTree, signalProcess } from "./process-tree.ts";
import { spawnCommand } from "./spawn.ts";

/** The longest delay of Node's timers. */
const TIMER_MS_MAX = 2 ** 31 - 1;
const WATCH_FIRST_MS = 10;
const WATCH_MS_MAX = 200;

/** What all units of a manager share. */
export interface RuntimeEnvironment {
  readonly directory: string;
  readonly clock: Clock;
  readonly hostEnvironment: Readonly<Record<string, string | undefined>>;
  /** The unit's status may have changed. */
  readonly onChange: (name: string) => void;
}

type Job = "start" | "stop";

/** Runs the processes of one unit as its {@link ServiceMachine} says. */
export class UnitRuntime {
  readonly #name: string;
  readonly #machine: ServiceMachine;
  readonly #journal: JournalFile;
  readonly #env: RuntimeEnvironment;
  readonly #tree = new ProcessTree();
  readonly #children = new Map<Role, ChildProcess>();
  readonly #waiters: Record<Job, PromiseWithResolvers<JobResult>[]> = { start: [], stop: [] };
  readonly #events: ServiceEvent[] = [];
  #config: ServiceConfig;
  #handling = false;
  #timer: Disposable | undefined;
  #watch: Disposable | undefined;
  #notify: NotifyFile | undefined;
  #invocationId: string | undefined;

  constructor(config: ServiceConfig, journal: JournalFile, env: RuntimeEnvironment) {
    this.#name = config.name;
    this.#config = config;
    this.#journal = journal;
    this.#env = env;
    this.#machine = new ServiceMachine(config);
  }

  /** Uses new settings from the next command on. */
  configure(config: ServiceConfig): void {
    this.#config = config;
    this.#machine.configure(config);
  }

  resetFailed(): void {
    this.#machine.resetFailed();
  }

  get isIdle(): boolean {
    return this.#machine.activeState === "inactive" || this.#machine.activeState === "failed";
  }

  /** What the status says about the running side of the unit. */
  get status(): Omit<UnitStatus, "name" | "loadState"> {
    const { activeState, state, mainPid, mainExit, result } = this.#machine;
    return {
      activeState,
      subState: state,
      ...(mainPid === undefined ? {} : { mainPid }),
      ...(this.#invocationId === undefined ? {} : { invocationId: this.#invocationId }),
      result,
      ...(mainExit === undefined ? {} : { execMainStatus: "code" in mainExit ? mainExit.code : mainExit.signal }),
    };
  }

  /** Asks for a job and waits for its end. */
  async job(job: Job): Promise<JobResult> {
    const waiter = Promise.withResolvers<JobResult>();
    this.#waiters[job].push(waiter);
    // The clock's timers let the process end. While somebody waits, as at shutdown, it must not.
    const hold = setInterval(() => {}, TIMER_MS_MAX);
    try {
      this.#dispatch({ type: job });
      return await waiter.promise;
    } finally {
      clearInterval(hold);
    }
  }

  /** Ends timers and watches of a unit that runs no process. */
  close(): void {
    this.#timer?.[Symbol.dispose]();
    this.#watch?.[Symbol.dispose]();
    this.#notify?.remove();
    this.#journal.close();
  }

  /** One event at a time: an effect may cause the next event at once. */
  #dispatch(event: ServiceEvent): void {
    this.#events.push(event);
    if (this.#handling) return;
    this.#handling = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        const effects = this.#machine.handle(next, this.#env.clock.monotonicMs());
        for (const effect of effects) this.#carryOut(effect);
      }
    } finally {
      this.#handling = false;
    }
    if (this.isIdle) this.#notify?.remove();
    this.#env.onChange(this.#name);
  }

  #carryOut(effect: ServiceEffect): void {
    switch (effect.type) {
      case "begin":
        return this.#begin();
      case "spawn":
        return this.#spawn(effect.role, effect.command);
      case "kill":
        return this.#kill(effect.scope, effect.signal);
      case "watch":
        return this.#watchEmpty(effect.scope);
      case "timer":
        this.#timer?.[Symbol.dispose]();
        this.#timer = undefined;
        if (effect.ms !== undefined) {
          this.#timer = this.#env.clock.after(Math.min(effect.ms, TIMER_MS_MAX), () =>
            this.#dispatch({ type: "timer" }),
          );
        }
        return;
      case "job":
        for (const waiter of this.#waiters[effect.job].splice(0)) waiter.resolve(effect.result);
        return;
      case "note":
        return this.#journal.append("manager", "keelson", process.pid, `${this.#name}: ${effect.text}`);
    }
  }

  #begin(): void {
    const id = randomBytes(16).toString("hex");
    this.#invocationId = id;
    this.#tree.begin(id);
    this.#notify?.remove();
    this.#notify = undefined;
    if (this.#config.type === "notify") {
      const path = join(this.#env.directory, "run", `${this.#name}.notify`);
      this.#notify = new NotifyFile(path, this.#env.clock, () => this.#dispatch({ type: "ready" }));
    }
  }

  #spawn(role: Role, command: Parameters<typeof spawnCommand>[1]): void {
    const child = spawnCommand(this.#config, command, {
      binDirectory: join(this.#env.directory, "bin"),
      hostEnvironment: this.#env.hostEnvironment,
      variables: this.#variables(),
    });
    if ("reason" in child) {
      this.#journal.append("manager", "keelson", process.pid, `${this.#name}: ${child.reason}`);
      return void this.#events.push({
        type: "spawn-failed",
        role,
        ...(child.code === undefined ? {} : { code: child.code }),
      });
    }
    const pid = child.pid ?? 0;
    this.#children.set(role, child);
    this.#tree.add(pid);
    recordInvocation(join(this.#env.directory, "run"), this.#name, this.#invocationId ?? "", this.#tree.groups);
    const ident = command.path.slice(command.path.lastIndexOf("/") + 1);
    if (child.stdout !== null) this.#journal.capture(child.stdout, "stdout", ident, pid);
    if (child.stderr !== null) this.#journal.capture(child.stderr, "stderr", ident, pid);
    child.once("exit", (code, signal) => this.#onExit(role, child, code, signal));
    this.#events.push({ type: "spawned", role, pid });
  }

  #onExit(role: Role, child: ChildProcess, code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#children.get(role) === child) this.#children.delete(role);
    const exit: ProcessExit = code === null ? { signal: SIGNALS[signal ?? ""] ?? 0 } : { code };
    this.#dispatch({ type: "exited", role, exit });
  }

  #kill(scope: "all" | "main", signal: number): void {
    if (scope === "all") return this.#tree.kill(signal);
    const pid = this.#children.get("main")?.pid;
    if (pid !== undefined) signalProcess(pid, signal);
  }

  /** Looks again and again, ever less often, until nothing of the scope is left. */
  #watchEmpty(scope: "all" | "main" | "control" | undefined): void {
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
    if (scope === undefined) return;
    const isEmpty = () =>
      scope === "all" ? this.#children.size === 0 && this.#tree.isEmpty() : !this.#children.has(scope);
    if (isEmpty()) return void this.#events.push({ type: "empty" });
    const look = (delayMs: number) => {
      this.#watch = this.#env.clock.after(delayMs, () => {
        if (isEmpty()) this.#dispatch({ type: "empty" });
        else look(Math.min(delayMs * 2, WATCH_MS_MAX));
      });
    };
    look(WATCH_FIRST_MS);
  }

  #variables(): Record<string, string> {
    const { mainPid, mainExit, result, state } = this.#machine;
    const stopping = state === "stop" || state === "stop-post";
    return {
      [INVOCATION_VARIABLE]: this.#invocationId ?? "",
      KEELSON_UNIT: this.#name,
      ...(this.#notify === undefined ? {} : { KEELSON_NOTIFY_FILE: this.#notify.path }),
      ...(mainPid === undefined ? {} : { MAINPID: String(mainPid) }),
      ...(stopping ? { SERVICE_RESULT: result } : {}),
      ...(stopping && mainExit !== undefined ? exitVariables(mainExit) : {}),
    };
  }

  /** Forgets the processes on disk once none is left. */
  forgetIfIdle(): void {
    if (this.isIdle && this.#tree.isEmpty()) forgetInvocation(join(this.#env.directory, "run"), this.#name);
  }
}

/** Source: systemd.exec(5), $EXIT_CODE and $EXIT_STATUS. */
function exitVariables(exit: ProcessExit): Record<string, string> {
  if ("code" in exit) return { EXIT_CODE: "exited", EXIT_STATUS: String(exit.code) };
  const name = Object.keys(SIGNALS).find((key) => SIGNALS[key] === exit.signal) ?? String(exit.signal);
  return { EXIT_CODE: "killed", EXIT_STATUS: name.replace(/^SIG/, "") };
}
