import type { AppPlan, PodPlan } from "./plan.ts";

/** Where our scripts are in the image. */
export const SCRIPTS = "/usr/lib/rkt";

/** A setting of a unit: name and value, in systemd's words. */
export type UnitSetting = readonly [name: string, value: string];

/** A transient service: given to systemd with `systemd-run`, so that nothing is written and nothing is left. */
export interface UnitPlan {
  readonly name: string;
  readonly description: string;
  readonly settings: readonly UnitSetting[];
  readonly argv: readonly [string, ...string[]];
}

/** The pod's units: what is started first comes first. */
export interface PodUnits {
  readonly slice: string;
  /** Holds the network that several apps share. */
  readonly net?: UnitPlan;
  /** One for each app, in the plan's order. */
  readonly apps: readonly UnitPlan[];
}

/**
 * A pod's slice: one of its own when there are several apps, for systemd keeps a slice until it is told to stop it.
 * Without the uuid's dashes, which systemd would take for parents.
 */
export function sliceName(plan: PodPlan): string {
  return plan.apps.length === 1 ? "rkt.slice" : `rkt-${plan.uuid.replaceAll("-", "")}.slice`;
}

/** The service of an app; its name is also the lock: systemd starts one of a name. */
export function serviceName(uuid: string, app: string): string {
  return `rkt-${uuid.replaceAll("-", "")}-${app}.service`;
}

/** The service that holds a shared network. No app can be called so. */
export function netServiceName(uuid: string): string {
  return `rkt-${uuid.replaceAll("-", "")}--net.service`;
}

/** crun's name of an app. */
export function containerId(uuid: string, app: string): string {
  return `rkt-${uuid}-${app}`;
}

/** Derives a pod's units from its plan. `podDirectory` is where its files are while it runs. */
export function renderUnits(plan: PodPlan, podDirectory: string): PodUnits {
  const slice = sliceName(plan);
  const isShared = plan.network.kind === "cni" && plan.apps.length > 1;
  const net = isShared ? { net: netUnit(plan, podDirectory, slice) } : {};
  return { slice, ...net, apps: plan.apps.map((app) => appUnit(plan, app, podDirectory, slice, isShared)) };
}

function netUnit(plan: PodPlan, podDirectory: string, slice: string): UnitPlan {
  return {
    name: netServiceName(plan.uuid),
    description: `network of pod ${plan.uuid}`,
    settings: [
      ["Slice", slice],
      ["Type", "oneshot"],
      ["RemainAfterExit", "yes"],
      ["CollectMode", "inactive-or-failed"],
      ["PrivateNetwork", "yes"],
      ["ExecStopPost", `-${SCRIPTS}/rt-net del ${podDirectory}`],
      ["SyslogIdentifier", "rkt-net"],
      ["TimeoutStartSec", "2min"],
    ],
    argv: [`${SCRIPTS}/rt-net`, "add", podDirectory],
  };
}

function appUnit(plan: PodPlan, app: AppPlan, podDirectory: string, slice: string, isShared: boolean): UnitPlan {
  const net = netServiceName(plan.uuid);
  const shared: UnitSetting[] = [
    ["PrivateNetwork", "yes"],
    ["JoinsNamespaceOf", net],
    ["BindsTo", net],
    ["After", net],
  ];
  return {
    name: serviceName(plan.uuid, app.name),
    description: `${app.name} of pod ${plan.name ?? plan.uuid} (${app.image.name})`.replaceAll(/[^ -~]/g, "?"),
    settings: [
      ["Slice", slice],
      ...(isShared ? shared : []),
      ...appSettings(plan, app, isShared),
      ...(plan.network.kind === "cni" && !isShared
        ? [["ExecStartPre", `${SCRIPTS}/rt-net add ${podDirectory}`] as const]
        : []),
      ["ExecStop", `-${SCRIPTS}/rt-kill ${podDirectory} ${app.name}`],
      ["ExecStopPost", `-${SCRIPTS}/rt-stop ${podDirectory} ${app.name}`],
      ["SyslogIdentifier", app.name],
      ["CollectMode", "inactive-or-failed"],
    ],
    argv: [`${SCRIPTS}/rt-exec`, podDirectory, app.name],
  };
}

/** What rt-stop may take beyond the time that the app has. */
const CLEAN_UP_MS = 60_000;

/** The usual nodes of /dev and terminals, whatever a volume brings. */
export const DEVICES: readonly UnitSetting[] = [
  ["DevicePolicy", "closed"],
  ["DeviceAllow", "char-pts rw"],
];

/** What of an app's plan is a setting of its service, whoever writes the rest of the unit. */
export function appSettings(plan: PodPlan, app: AppPlan, isShared = false): UnitSetting[] {
  const { restart, stop } = app;
  const seconds = (ms: number) => `${ms}ms`;
  return [
    ["Type", "exec"],
    ["PrivateMounts", "yes"],
    ...(plan.network.kind === "cni" && !isShared ? [["PrivateNetwork", "yes"] as const] : []),
    ...(app.protectPaths ? DEVICES : []),
    ["KillMode", "mixed"],
    // crun says 128 + n for a container that signal n ended: what was asked for is no failure.
    ["SuccessExitStatus", String(128 + stop.signal)],
    ["TimeoutStopSec", seconds(stop.timeoutMs + CLEAN_UP_MS)],
    ["Restart", restart.policy],
    ...(restart.policy === "no"
      ? []
      : ([
          ["RestartSec", seconds(restart.delayMs)],
          ["StartLimitIntervalSec", "0"],
        ] as const)),
    ...limitSettings(app.limits),
  ];
}

/** An app's limits as settings. They are systemd's to keep, so that its results tell when one was hit. */
export function limitSettings(limits: AppPlan["limits"]): UnitSetting[] {
  const settings: UnitSetting[] = [];
  if (limits.memoryBytes !== undefined)
    settings.push(["MemoryMax", String(limits.memoryBytes)], ["MemorySwapMax", "0"]);
  if (limits.cpuMillis !== undefined) settings.push(["CPUQuota", `${limits.cpuMillis / 10}%`]);
  if (limits.cpuShares !== undefined) settings.push(["CPUWeight", String(cpuWeight(limits.cpuShares))]);
  if (limits.tasksMax !== undefined) settings.push(["TasksMax", String(limits.tasksMax)]);
  if (limits.memoryBytes !== undefined) settings.push(["OOMPolicy", "kill"]);
  return settings;
}

/** cgroup v1's shares (2 to 262144) on cgroup v2's scale (1 to 10000), linearly, as runc and crun before 1.23 do it. */
export function cpuWeight(shares: number): number {
  return 1 + Math.floor(((shares - 2) * 9999) / 262_142);
}

/** The command line that starts a unit. `--no-block` is not given: systemd-run waits until the service runs. */
export function systemdRunArguments(unit: UnitPlan): [string, ...string[]] {
  return [
    "systemd-run",
    "--quiet",
    `--unit=${unit.name}`,
    `--description=${unit.description}`,
    ...unit.settings.map(([key, value]) => `--property=${key}=${value}`),
    "--",
    ...unit.argv,
  ];
}
