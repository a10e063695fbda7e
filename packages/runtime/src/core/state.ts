/** Directories under `pods/`, in the order of a pod's life. Source: rkt, Documentation/devel/pod-lifecycle.md. */
export const PHASES = ["embryo", "prepare", "prepared", "run", "exited-garbage", "garbage"] as const;
/** Where in its life a pod's directory says it is. */
export type Phase = (typeof PHASES)[number];

/** A pod's state, in rkt's words. */
export type PodState =
  | "embryo"
  | "preparing"
  | "aborted prepare"
  | "prepared"
  | "running"
  | "exited"
  | "exited garbage"
  | "garbage";

/** How a pod is run. */
export interface RunRecord {
  /** `units`: transient services of its own. `unit`: a service that somebody wrote. `foreground`: where it was called. */
  readonly mode: "units" | "unit" | "foreground";
  /** The service of each app; for `foreground` the service it runs in, if it does. */
  readonly services: Readonly<Record<string, string>>;
  readonly bootId: string;
  readonly startedAtMs: number;
  /** For `foreground`: the process, which stays the same one when it becomes another program. */
  readonly process?: { readonly pid: number; readonly startTicks: number };
  /** For `foreground` in a service: which of its runs. */
  readonly invocationId?: string;
}

/** What systemd says of a service. */
export interface ServiceFacts {
  readonly loadState: string;
  readonly activeState: string;
  readonly subState: string;
  readonly result: string;
  readonly mainPid: number;
  /** 1 exited, 2 killed, 3 dumped; 0 never ended. */
  readonly execMainCode: number;
  readonly execMainStatus: number;
  readonly restarts: number;
  readonly invocationId: string;
  readonly startedAtMs?: number;
  readonly endedAtMs?: number;
  readonly controlGroup: string;
}

/** How an app ended, as `rt-stop` noted it. */
export interface EndRecord {
  /** systemd's word: `success`, `exit-code`, `signal`, `oom-kill`, `timeout`… */
  readonly result: string;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly endedAtMs: number;
}

/** All that is known of a pod when its state is asked for. */
export interface PodFacts {
  readonly phase: Phase;
  /** The process that prepares it lives. */
  readonly isBeingPrepared: boolean;
  readonly run?: RunRecord;
  readonly bootId: string;
  /** For `foreground`: its process lives. */
  readonly isProcessAlive: boolean;
  readonly services: ReadonlyMap<string, ServiceFacts>;
  readonly ends: ReadonlyMap<string, EndRecord>;
}

/** An app, as `rkt status` tells of it. */
export interface AppStatus {
  readonly name: string;
  readonly isRunning: boolean;
  readonly pid?: number;
  readonly result?: string;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly restarts: number;
  readonly endedAtMs?: number;
}

const ACTIVE: readonly string[] = ["active", "activating", "reloading", "deactivating"];

/** The state of a pod. After a reboot everything that ran before has exited: nothing of it can be left. */
export function podState(facts: PodFacts): PodState {
  switch (facts.phase) {
    case "embryo":
      return "embryo";
    case "prepare":
      return facts.isBeingPrepared ? "preparing" : "aborted prepare";
    case "prepared":
      return "prepared";
    case "run":
      return isRunning(facts) ? "running" : "exited";
    case "exited-garbage":
      return "exited garbage";
    case "garbage":
      return "garbage";
  }
}

function isRunning({ run, bootId, isProcessAlive, services }: PodFacts): boolean {
  if (run === undefined) return false;
  // A unit that somebody wrote is started again after a boot, without us.
  if (run.mode !== "unit" && run.bootId !== bootId) return false;
  if (run.mode === "foreground") return isProcessAlive;
  return Object.values(run.services).some((name) => ACTIVE.includes(services.get(name)?.activeState ?? ""));
}

/** How each app is. What systemd still knows counts more than what was noted: the note may be of the run before. */
export function appStatuses(names: readonly string[], facts: PodFacts): AppStatus[] {
  const { run } = facts;
  const isAlive = facts.phase === "run" && isRunning(facts);
  return names.map((name): AppStatus => {
    const isOfThisBoot = run !== undefined && (run.mode === "unit" || run.bootId === facts.bootId);
    const service = !isOfThisBoot ? undefined : facts.services.get(run.services[name] ?? "");
    const mine = run?.mode === "foreground" && service?.invocationId !== run.invocationId ? undefined : service;
    const isUp = run?.mode === "foreground" ? isAlive : isAlive && ACTIVE.includes(mine?.activeState ?? "");
    const end = facts.ends.get(name) ?? (mine === undefined || isUp ? undefined : endOf(mine));
    const pid = isUp ? (mine?.mainPid ?? run?.process?.pid ?? 0) : 0;
    return {
      name,
      isRunning: isUp,
      ...(pid > 0 ? { pid } : {}),
      // While it runs again, an end is that of the run before: worth telling, with the count of restarts.
      ...(end === undefined ? {} : { result: end.result, endedAtMs: end.endedAtMs }),
      ...(end?.exitCode === undefined ? {} : { exitCode: end.exitCode }),
      ...(end?.signal === undefined ? {} : { signal: end.signal }),
      restarts: mine?.restarts ?? 0,
    };
  });
}

function endOf(service: ServiceFacts): EndRecord | undefined {
  if (service.execMainCode === 0) return undefined;
  const how =
    service.execMainCode === 1
      ? { exitCode: service.execMainStatus }
      : { signal: String(service.execMainStatus), exitCode: 128 + service.execMainStatus };
  return { result: service.result, ...how, endedAtMs: service.endedAtMs ?? 0 };
}

/** Signals by the names that systemd uses in EXIT_STATUS. */
const SIGNAL_NUMBERS: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  SYS: 31,
};

/** Reads what `rt-stop` wrote; undefined when it is none. */
export function parseEnd(text: string): EndRecord | undefined {
  const values = new Map(
    text
      .split("\n")
      .filter((line) => line.includes("="))
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)] as const),
  );
  const result = values.get("result");
  const status = values.get("status") ?? "";
  if (result === undefined || result === "") return undefined;
  const endedAtMs = Number(values.get("ended") ?? 0);
  const number = Number(status);
  const how =
    status === ""
      ? {}
      : Number.isInteger(number)
        ? { exitCode: number }
        : { signal: status, exitCode: 128 + (SIGNAL_NUMBERS[status] ?? 0) };
  return { result, ...how, endedAtMs: Number.isFinite(endedAtMs) ? endedAtMs : 0 };
}

/** Properties of services that {@link parseServices} reads. */
export const SERVICE_PROPERTIES: readonly string[] = [
  "Id",
  "LoadState",
  "ActiveState",
  "SubState",
  "Result",
  "MainPID",
  "ExecMainCode",
  "ExecMainStatus",
  "NRestarts",
  "InvocationID",
  "ExecMainStartTimestamp",
  "ExecMainExitTimestamp",
  "ControlGroup",
];

/** Reads the output of `systemctl show --timestamp=unix`: blocks of NAME=VALUE, one for each service. */
export function parseServices(text: string): Map<string, ServiceFacts> {
  const services = new Map<string, ServiceFacts>();
  for (const block of text.split("\n\n")) {
    const values = new Map(
      block
        .split("\n")
        .map((line) => [line.slice(0, Math.max(0, line.indexOf("="))), line.slice(line.indexOf("=") + 1)] as const),
    );
    const id = values.get("Id");
    if (id === undefined || id === "") continue;
    const number = (name: string) => Number(values.get(name) ?? 0) || 0;
    const time = (name: string) =>
      /^@\d+$/.test(values.get(name) ?? "") ? 1000 * Number(values.get(name)?.slice(1)) : undefined;
    const [startedAtMs, endedAtMs] = [time("ExecMainStartTimestamp"), time("ExecMainExitTimestamp")];
    services.set(id, {
      loadState: values.get("LoadState") ?? "not-found",
      activeState: values.get("ActiveState") ?? "inactive",
      subState: values.get("SubState") ?? "dead",
      result: values.get("Result") ?? "",
      mainPid: number("MainPID"),
      execMainCode: number("ExecMainCode"),
      execMainStatus: number("ExecMainStatus"),
      restarts: number("NRestarts"),
      invocationId: values.get("InvocationID") ?? "",
      ...(startedAtMs === undefined ? {} : { startedAtMs }),
      ...(endedAtMs === undefined ? {} : { endedAtMs }),
      controlGroup: values.get("ControlGroup") ?? "",
    });
  }
  return services;
}
