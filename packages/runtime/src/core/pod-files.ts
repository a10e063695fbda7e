import { hostsFile, ociConfig } from "./bundle.ts";
import { cniChains } from "./cni.ts";
import type { AppPlan, PodPlan } from "./plan.ts";
import { formatPlan } from "./plan.ts";
import { containerId, netServiceName, renderUnits } from "./units.ts";

/** A file of a pod's directory. */
export interface PodFile {
  /** Relative to the pod's directory. */
  readonly path: string;
  readonly content: string;
  readonly mode: number;
}

/** A directory of a pod's directory. */
export interface PodDirectory {
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** All that is written for a pod. */
export interface PodLayout {
  readonly directories: readonly PodDirectory[];
  readonly files: readonly PodFile[];
}

/** Options of {@link podLayout}. */
export interface LayoutOptions {
  /** Where the pod's directory is when it runs. */
  readonly podDirectory: string;
  /** What an app wrote is dropped before it starts again. */
  readonly isFresh?: boolean;
  /** Each app gets a terminal. */
  readonly isTerminal?: boolean;
}

/** The files that the scripts in /usr/lib/rkt work with, all derived from the plan. */
export function podLayout(plan: PodPlan, options: LayoutOptions): PodLayout {
  const { podDirectory, isTerminal = false } = options;
  const directory = (path: string): PodDirectory => ({ path, mode: 0o700, uid: 0, gid: 0 });
  const file = (path: string, content: string): PodFile => ({ path, content, mode: 0o600 });
  const shown = (path: string, content: string): PodFile => ({ path, content, mode: 0o644 });
  const empties = plan.volumes.filter((volume) => volume.kind === "empty");
  const apps = plan.apps.map((app) => ({ app, at: `apps/${app.name}` }));
  return {
    directories: [
      { ...directory("etc"), mode: 0o755 },
      directory("apps"),
      directory("net"),
      { ...directory("volumes"), mode: 0o711 },
      ...apps.map(({ at }) => directory(at)),
      ...empties.map(({ name, mode, uid, gid }) => ({ path: `volumes/${name}`, mode, uid, gid })),
      ...cniChains(plan.network).map(({ name }, i) => directory(`net/${i}-${name}`)),
    ],
    files: [
      file("plan.json", formatPlan(plan)),
      shown("etc/hostname", `${plan.hostname}\n`),
      shown("etc/hosts", hostsFile(plan)),
      shown("etc/resolv.conf", plan.dns.resolvConf),
      file("start", podVariables(plan, podDirectory)),
      ...apps.flatMap(({ app, at }) => [
        file(`${at}/config.json`, `${JSON.stringify(ociConfig(plan, app, podDirectory, isTerminal))}\n`),
        file(`${at}/start`, appVariables(plan, app, options)),
      ]),
      ...netFiles(plan).map(({ path, content }) => file(path, content)),
    ],
  };
}

/** What the scripts need to know of a pod, for sh. Every value is made of characters that need no quoting. */
function podVariables(plan: PodPlan, podDirectory: string): string {
  const { apps, net, slice } = renderUnits(plan, podDirectory);
  return variables({
    POD: podDirectory,
    POD_UUID: plan.uuid,
    POD_DNS: plan.dns.mode,
    POD_NET: plan.network.kind,
    POD_SERVICES: apps.map(({ name }) => name).join(" "),
    POD_SLICE: slice,
    POD_NET_SERVICE: net === undefined ? "" : netServiceName(plan.uuid),
  });
}

function appVariables(plan: PodPlan, app: AppPlan, options: LayoutOptions): string {
  return variables({
    APP: app.name,
    APP_ID: containerId(plan.uuid, app.name),
    // overlayfs wants the topmost first.
    APP_LAYERS: app.layers
      .map(({ path }) => path)
      .toReversed()
      .join(" "),
    APP_WRITABLE: app.readOnlyRootfs ? "0" : "1",
    APP_FRESH: options.isFresh === true ? "1" : "0",
    APP_RESTART: app.restart.policy,
    APP_STOP_SIGNAL: String(app.stop.signal),
    APP_STOP_MS: String(app.stop.timeoutMs),
  });
}

function netFiles(plan: PodPlan): { path: string; content: string }[] {
  return cniChains(plan.network).flatMap(({ name, interface: device, args, stages }, i) => {
    const at = `net/${i}-${name}`;
    const stageFiles = stages.map(({ plugin, head }, k) => ({
      path: `${at}/${String(k).padStart(2, "0")}-${plugin}`,
      content: `${head}\n`,
    }));
    return [
      { path: `${at}/interface`, content: `${device}\n` },
      { path: `${at}/args`, content: `${args}\n` },
      ...stageFiles,
    ];
  });
}

function variables(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}='${value.replaceAll("'", "'\\''")}'\n`)
    .join("");
}
