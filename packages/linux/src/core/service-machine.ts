import type { ActiveState, ExecCommand, JobResult } from "@keelson/unit";
import { EXIT_EXEC, type ProcessExit, resultOf, type ServiceResult, StartLimit, shallRestart } from "./exit.ts";
import { NOTIFY_WARNING, type ServiceConfig } from "./service-config.ts";

/** Source: `systemctl --state=help`, "service unit substates", those that occur here. */
export type ServiceState =
  | "dead"
  | "start-pre"
  | "start"
  | "start-post"
  | "running"
  | "exited"
  | "stop"
  | "stop-sigterm"
  | "stop-sigkill"
  | "stop-post"
  | "final-sigterm"
  | "final-sigkill"
  | "failed"
  | "auto-restart";

/** The service's own process, or a helper command around it. */
export type Role = "main" | "control";

/** What happens to a service. `empty`: no process of the unit is left (in the scope last asked for). */
export type ServiceEvent =
  | { readonly type: "start" | "stop" | "ready" | "timer" | "empty" }
  | { readonly type: "spawned"; readonly role: Role; readonly pid: number }
  /** `code` is what systemd would give as the exit status (203 for exec, 200 for chdir); without it, preparations failed. */
  | { readonly type: "spawn-failed"; readonly role: Role; readonly code?: number }
  | { readonly type: "exited"; readonly role: Role; readonly exit: ProcessExit };

/** What the machine's owner must do, in this order. */
export type ServiceEffect =
  /** A new invocation begins: a new id, a fresh readiness channel. */
  | { readonly type: "begin" }
  | { readonly type: "spawn"; readonly role: Role; readonly command: ExecCommand }
  | { readonly type: "kill"; readonly scope: "all" | "main"; readonly signal: number }
  /** Report `empty` once no process of the scope is left. Replaces an earlier watch; undefined ends it. */
  | { readonly type: "watch"; readonly scope: "all" | "main" | "control" | undefined }
  /** Report `timer` after so long. Replaces an earlier timer; undefined ends it. */
  | { readonly type: "timer"; readonly ms: number | undefined }
  | { readonly type: "job"; readonly job: "start" | "stop"; readonly result: JobResult }
  /** A line for the unit's journal. */
  | { readonly type: "note"; readonly text: string };

type CommandList = "startPre" | "start" | "startPost" | "stop" | "stopPost";

const ACTIVE: Readonly<Record<ServiceState, ActiveState>> = {
  dead: "inactive",
  "start-pre": "activating",
  start: "activating",
  "start-post": "activating",
  running: "active",
  exited: "active",
  stop: "deactivating",
  "stop-sigterm": "deactivating",
  "stop-sigkill": "deactivating",
  "stop-post": "deactivating",
  "final-sigterm": "deactivating",
  "final-sigkill": "deactivating",
  failed: "failed",
  "auto-restart": "activating",
};

/**
 * One service's states, as systemd's service.c walks through them, without processes, clocks or files: events in,
 * effects out. Its owner calls {@link handle} with one event at a time and carries out what it returns.
 */
export class ServiceMachine {
  #config: ServiceConfig;
  readonly #limit = new StartLimit();
  #effects: ServiceEffect[] = [];
  #state: ServiceState = "dead";
  #result: ServiceResult = "success";
  #mainPid: number | undefined;
  #mainExit: ProcessExit | undefined;
  #controlPid: number | undefined;
  /** The command that runs, or ran last, of `list`. */
  #list: CommandList = "start";
  #index = 0;
  #forbidRestart = false;
  #startJob = false;
  #stopJob = false;
  /** A start that waits for the service to be down. */
  #startAfterStop = false;

  constructor(config: ServiceConfig) {
    this.#config = config;
  }

  get state(): ServiceState {
    return this.#state;
  }
  get activeState(): ActiveState {
    return ACTIVE[this.#state];
  }
  get result(): ServiceResult {
    return this.#result;
  }
  get mainPid(): number | undefined {
    return this.#mainPid;
  }
  get mainExit(): ProcessExit | undefined {
    return this.#mainExit;
  }
  get controlPid(): number | undefined {
    return this.#controlPid;
  }

  /** Takes new settings; those of running commands change with the next one, as after systemd's daemon-reload. */
  configure(config: ServiceConfig): void {
    this.#config = config;
  }

  /** Forgets a failure and the count of starts (ResetFailedUnit). */
  resetFailed(): void {
    this.#limit.reset();
    if (this.#state === "failed") this.#state = "dead";
    this.#result = "success";
  }

  /** Advances by one event at `nowMs` of a monotonic clock. */
  handle(event: ServiceEvent, nowMs: number): readonly ServiceEffect[] {
    this.#effects = [];
    switch (event.type) {
      case "start":
        this.#onStart(nowMs);
        break;
      case "stop":
        this.#onStop();
        break;
      case "spawned":
        this.#onSpawned(event.role, event.pid);
        break;
      case "spawn-failed":
        this.#onSpawnFailed(event.role, event.code);
        break;
      case "exited":
        this.#onExited(event.role, event.exit);
        break;
      case "ready":
        if (this.#state === "start" && this.#config.type === "notify") this.#enterStartPost();
        break;
      case "timer":
        this.#onTimer(nowMs);
        break;
      case "empty":
        this.#onEmpty();
        break;
    }
    return this.#effects;
  }

  #onStart(nowMs: number): void {
    const active = this.activeState;
    if (active === "active") {
      this.#emit({ type: "job", job: "start", result: "done" });
    } else if (active === "deactivating") {
      if (this.#stopJob) this.#finishJob("stop", "canceled");
      this.#startAfterStop = true;
      this.#startJob = true;
    } else if (active === "activating" && this.#state !== "auto-restart") {
      this.#startJob = true;
    } else {
      this.#startJob = true;
      this.#begin(nowMs);
    }
  }

  #onStop(): void {
    if (this.#startJob) this.#finishJob("start", "canceled");
    this.#startAfterStop = false;
    this.#forbidRestart = true;
    const active = this.activeState;
    if (active === "inactive" || active === "failed") {
      this.#timer(undefined); // a start that waited for the last stop
      return this.#emit({ type: "job", job: "stop", result: "done" });
    }
    this.#stopJob = true;
    if (this.#state === "auto-restart") {
      // Nothing runs, and the failure was not the end of the matter: a stopped unit is inactive.
      this.#timer(undefined);
      this.#state = "dead";
      return this.#finishJob("stop", "done");
    }
    if (active === "active") return this.#enterStop();
    if (active === "activating") this.#enterSignal("stop-sigterm", "success");
  }

  #begin(nowMs: number): void {
    this.#result = "success";
    this.#mainExit = undefined;
    this.#forbidRestart = false;
    if (!this.#limit.allow(nowMs, this.#config.startLimitIntervalMs, this.#config.startLimitBurst)) {
      this.#note("start request repeated too quickly");
      this.#forbidRestart = true;
      this.#result = "start-limit-hit";
      return this.#enterDead();
    }
    this.#emit({ type: "begin" });
    this.#state = "start-pre";
    this.#timer(this.#config.timeoutStartMs);
    this.#runList("startPre", 0);
  }

  /** Runs the command at `index` of a list, or goes on to what follows the list. */
  #runList(list: CommandList, index: number): void {
    this.#list = list;
    this.#index = index;
    const command = this.#config[list][index];
    if (command === undefined) return this.#afterList(list);
    const role = list === "start" ? "main" : "control";
    // systemd gives every command but a oneshot's the whole time.
    if (index > 0 && role === "control")
      this.#timer(list === "stop" || list === "stopPost" ? this.#config.timeoutStopMs : this.#config.timeoutStartMs);
    this.#emit({ type: "spawn", role, command });
  }

  #afterList(list: CommandList): void {
    switch (list) {
      case "startPre":
        this.#state = "start";
        return this.#runList("start", 0);
      case "start":
        return this.#enterStartPost();
      case "startPost":
        return this.#enterRunning();
      case "stop":
        return this.#enterSignal("stop-sigterm", "success");
      case "stopPost":
        return this.#enterSignal("final-sigterm", "success");
    }
  }

  #enterStartPost(): void {
    this.#state = "start-post";
    this.#timer(this.#config.startPost.length > 0 ? this.#config.timeoutStartMs : undefined);
    this.#runList("startPost", 0);
  }

  #enterRunning(): void {
    this.#timer(undefined);
    if (this.#result !== "success") return this.#enterSignal("stop-sigterm", this.#result);
    if (this.#mainPid !== undefined) this.#state = "running";
    else if (this.#config.remainAfterExit) this.#state = "exited";
    else return this.#enterStop();
    if (this.#startJob) this.#finishJob("start", "done");
  }

  #enterStop(): void {
    this.#state = "stop";
    this.#timer(this.#config.timeoutStopMs);
    this.#runList("stop", 0);
  }

  #enterSignal(state: "stop-sigterm" | "stop-sigkill" | "final-sigterm" | "final-sigkill", why: ServiceResult): void {
    this.#fail(why);
    this.#state = state;
    const { killMode, killSignal, finalKillSignal } = this.#config;
    const last = state === "stop-sigkill" || state === "final-sigkill";
    const final = state === "final-sigterm" || state === "final-sigkill";
    this.#timer(this.#config.timeoutStopMs);
    if (killMode === "none") return this.#emit({ type: "watch", scope: "control" });
    if (killMode === "mixed" && final) this.#kill("all", finalKillSignal);
    else
      this.#kill(
        killMode === "control-group" || (killMode === "mixed" && last) ? "all" : "main",
        last ? finalKillSignal : killSignal,
      );
    if (!last && this.#config.sendSighup) this.#kill(killMode === "control-group" ? "all" : "main", 1);
    this.#emit({
      type: "watch",
      scope: killMode === "control-group" || final ? (killMode === "process" ? "main" : "all") : "main",
    });
  }

  #enterStopPost(): void {
    this.#emit({ type: "watch", scope: undefined });
    this.#state = "stop-post";
    this.#timer(this.#config.timeoutStopMs);
    this.#runList("stopPost", 0);
  }

  #enterDead(): void {
    this.#emit({ type: "watch", scope: undefined });
    this.#timer(undefined);
    this.#controlPid = undefined;
    this.#mainPid = undefined;
    const failed = this.#result !== "success";
    this.#state = failed ? "failed" : "dead";
    if (failed) this.#note(`failed with result '${this.#result}'`);
    if (this.#startAfterStop) {
      // The new start's own outcome answers its job.
      this.#startAfterStop = false;
      if (this.#stopJob) this.#finishJob("stop", "done");
      return this.#emit({ type: "timer", ms: 0 });
    }
    if (this.#startJob) this.#finishJob("start", failed ? "failed" : "done");
    const restart = !this.#forbidRestart && shallRestart(this.#config, this.#result, this.#mainExit);
    if (this.#stopJob) this.#finishJob("stop", "done");
    if (!restart) return;
    this.#state = "auto-restart";
    this.#timer(this.#config.restartMs);
  }

  #onSpawned(role: Role, pid: number): void {
    if (role === "control") {
      this.#controlPid = pid;
      return;
    }
    this.#mainPid = pid;
    // The kernel took the program: simple and exec services count as started.
    if (this.#state === "start" && (this.#config.type === "simple" || this.#config.type === "exec"))
      this.#enterStartPost();
  }

  #onSpawnFailed(role: Role, code: number | undefined): void {
    if (code === undefined) {
      const final = this.#list === "stopPost";
      return this.#enterSignal(final ? "final-sigterm" : "stop-sigterm", "resources");
    }
    // A simple service counts as started once it was forked, and only then finds its program missing.
    if (role === "main" && this.#state === "start" && this.#config.type === "simple") {
      if (this.#startJob) this.#finishJob("start", "done");
    }
    this.#onExited(role, { code });
  }

  #onExited(role: Role, exit: ProcessExit): void {
    if (role === "main") this.#onMainExited(exit);
    else this.#onControlExited(exit);
  }

  #onMainExited(exit: ProcessExit): void {
    this.#mainPid = undefined;
    this.#mainExit = exit;
    const oneshot = this.#config.type === "oneshot";
    const ignored = this.#config.start[oneshot ? this.#index : 0]?.ignoreFailure === true;
    const judged = resultOf(exit, oneshot ? "command" : "daemon", this.#config.successExit);
    const result = ignored ? "success" : judged;
    if (judged !== "success") this.#note(`main process ${describeExit(exit)}`);
    if (this.#state === "start") {
      if (!oneshot)
        return this.#enterSignal(
          "stop-sigterm",
          this.#config.type === "notify" && result === "success" ? "protocol" : result,
        );
      return result === "success" ? this.#runList("start", this.#index + 1) : this.#enterSignal("stop-sigterm", result);
    }
    this.#fail(result);
    // In start-post and stop the command that runs decides what comes next; while being killed, `empty` does.
    if (this.#state === "running") this.#enterRunning();
  }

  #onControlExited(exit: ProcessExit): void {
    this.#controlPid = undefined;
    const ignored = this.#config[this.#list][this.#index]?.ignoreFailure === true;
    const result = ignored ? "success" : resultOf(exit, "command", { codes: new Set(), signals: new Set() });
    if (result !== "success") this.#note(`${COMMAND_KEY[this.#list]}= command ${describeExit(exit)}`);
    const state = this.#state;
    if (state !== "start-pre" && state !== "start-post" && state !== "stop" && state !== "stop-post") return; // being killed
    if (result === "success") this.#runList(this.#list, this.#index + 1);
    else this.#enterSignal(state === "stop-post" ? "final-sigterm" : "stop-sigterm", result);
  }

  #onTimer(nowMs: number): void {
    switch (this.#state) {
      case "start-pre":
      case "start":
      case "start-post":
        this.#note(`${this.#state} operation timed out; stopping`);
        if (this.#state === "start" && this.#config.type === "notify") this.#note(NOTIFY_WARNING);
        return this.#enterSignal("stop-sigterm", "timeout");
      case "stop":
        this.#note("stopping timed out; terminating");
        return this.#enterSignal("stop-sigterm", "timeout");
      case "stop-sigterm":
        this.#note(
          `still running after ${this.#config.sendSigkill ? "its stop signal; killing" : "its stop signal; SendSIGKILL=no, giving up"}`,
        );
        this.#fail("timeout");
        return this.#config.sendSigkill ? this.#enterSignal("stop-sigkill", "timeout") : this.#enterStopPost();
      case "stop-sigkill":
        return this.#enterStopPost();
      case "stop-post":
        this.#note("stop-post operation timed out; terminating");
        return this.#enterSignal("final-sigterm", "timeout");
      case "final-sigterm":
        this.#fail("timeout");
        return this.#config.sendSigkill ? this.#enterSignal("final-sigkill", "timeout") : this.#enterDead();
      case "final-sigkill":
        return this.#enterDead();
      case "auto-restart":
      case "dead":
      case "failed":
        return this.#begin(nowMs);
      case "running":
      case "exited":
        return undefined;
    }
  }

  #onEmpty(): void {
    if (this.#state === "stop-sigterm" || this.#state === "stop-sigkill") this.#enterStopPost();
    else if (this.#state === "final-sigterm" || this.#state === "final-sigkill") this.#enterDead();
  }

  /** Keeps the first failure: what came after it was its consequence. */
  #fail(result: ServiceResult): void {
    if (this.#result === "success") this.#result = result;
  }

  #finishJob(job: "start" | "stop", result: JobResult): void {
    if (job === "start") this.#startJob = false;
    else this.#stopJob = false;
    this.#emit({ type: "job", job, result });
  }

  #kill(scope: "all" | "main", signal: number): void {
    this.#emit({ type: "kill", scope, signal });
  }

  #timer(ms: number | undefined): void {
    this.#emit({ type: "timer", ms: ms === Number.POSITIVE_INFINITY ? undefined : ms });
  }

  #note(text: string): void {
    this.#emit({ type: "note", text });
  }

  #emit(effect: ServiceEffect): void {
    this.#effects.push(effect);
  }
}

const COMMAND_KEY: Readonly<Record<CommandList, string>> = {
  startPre: "ExecStartPre",
  start: "ExecStart",
  startPost: "ExecStartPost",
  stop: "ExecStop",
  stopPost: "ExecStopPost",
};

function describeExit(exit: ProcessExit): string {
  if ("signal" in exit) return `was killed by signal ${exit.signal}`;
  return exit.code === EXIT_EXEC ? "could not be executed (203/EXEC)" : `exited with status ${exit.code}`;
}
