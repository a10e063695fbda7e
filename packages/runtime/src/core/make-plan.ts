import { type ImageConfig, type ProcessDefaults, processDefaults, type UserFiles } from "@keelson/oci";
import { RequestError } from "../errors.ts";
import { CAPABILITIES } from "./capabilities.ts";
import type { NetworkConfig } from "./network-config.ts";
import { type AppPlan, checkPlan, type NetworkPlan, PLAN_VERSION, type PodPlan, type VolumePlan } from "./plan.ts";
import type { AppRequest, DnsRequest, PodRequest } from "./request.ts";
import { sanitizeName } from "./values.ts";

/** An image of an app, as the store has it. */
export interface PlanImage {
  /** The config's digest. */
  readonly id: string;
  readonly name: string;
  readonly config: ImageConfig;
  /** Base first. */
  readonly layers: readonly { readonly diffId: string; readonly path: string }[];
  /** The image's own /etc/passwd and /etc/group. */
  readonly files: UserFiles;
}

/** What a plan is made of beside the request. */
export interface PlanInput {
  readonly uuid: string;
  /** One for each app of the request, in its order. */
  readonly images: readonly PlanImage[];
  /** Networks of net.d by name. */
  readonly networks: ReadonlyMap<string, NetworkConfig>;
  /** Variables of the caller and of `--set-env-file`, before those of the request. */
  readonly environment: readonly string[];
}

/**
 * Derives a pod's plan from what was asked and from the images. Pure: equal inputs give equal plans.
 *
 * @throws RequestError, or what @keelson/oci throws for an unknown user or an image without a command
 */
export function makePlan(request: PodRequest, input: PlanInput): PodPlan {
  const names = nameApps(request.apps, input.images);
  const volumes: VolumePlan[] = request.volumes.map((volume) => ({ ...volume }));
  const apps = request.apps.map((app, i): AppPlan => {
    const image = input.images[i];
    if (image === undefined) throw new RequestError(`there is no image for app ${i + 1}`);
    const name = names[i] ?? "app";
    return makeApp({ request, app, name, image, input, volumes });
  });
  return checkPlan({
    version: PLAN_VERSION,
    uuid: input.uuid,
    ...(request.name === undefined ? {} : { name: request.name }),
    hostname: request.hostname ?? `rkt-${input.uuid}`,
    apps,
    volumes,
    network: makeNetwork(request, input.networks),
    dns: { mode: request.dns.mode, resolvConf: resolvConf(request.dns) },
    hosts: [...request.hosts],
    sysctls: { ...request.sysctls },
  } satisfies PodPlan);
}

function nameApps(apps: readonly AppRequest[], images: readonly PlanImage[]): string[] {
  const names: string[] = [];
  for (const [i, app] of apps.entries()) {
    const name = app.name ?? sanitizeName(baseName(images[i]?.name ?? app.image));
    if (names.includes(name))
      throw new RequestError(`two apps would be called ${name}: give one of them another --name`, { name });
    names.push(name);
  }
  return names;
}

/** `registry.example:5000/team/web:1` is `web`. */
function baseName(image: string): string {
  const path = image.replace(/@.*$/, "").split("/").at(-1) ?? "app";
  return path.split(":")[0] ?? "app";
}

interface AppInput {
  readonly request: PodRequest;
  readonly app: AppRequest;
  readonly name: string;
  readonly image: PlanImage;
  readonly input: PlanInput;
  /** Gains the volumes that the image declares and nobody gave. */
  readonly volumes: VolumePlan[];
}

function makeApp({ request, app, name, image, input, volumes }: AppInput): AppPlan {
  const defaults = processDefaults(image.config, image.files, {
    ...(app.exec === undefined ? {} : { entrypoint: [app.exec] }),
    ...(app.args.length === 0 ? {} : { args: app.args }),
    ...(app.workingDir === undefined ? {} : { workingDir: app.workingDir }),
    ...userOverride(app),
    ...(app.stopSignal === undefined ? {} : { stopSignal: app.stopSignal }),
    env: [...input.environment, ...request.environment, ...app.environment],
  });
  const isAllRun = request.insecure.has("all") || request.insecure.has("all-run");
  return {
    name,
    image: { id: image.id, name: image.name, architecture: image.config.architecture },
    layers: image.layers.map(({ diffId, path }) => ({ diffId, path })),
    process: {
      args: [...defaults.args],
      env: withAppName(defaults.env, name),
      cwd: defaults.cwd,
      user: {
        uid: defaults.user.uid,
        gid: defaults.user.gid,
        additionalGids: [...new Set([...defaults.user.additionalGids, ...app.additionalGids])].toSorted(
          (a, b) => a - b,
        ),
      },
      capabilities: app.capabilities.includes("all") ? [...CAPABILITIES] : [...app.capabilities],
      noNewPrivileges: !app.isNewPrivilegesAllowed,
      rlimits: app.rlimits.map((limit) => ({ ...limit })),
    },
    readOnlyRootfs: app.readOnlyRootfs,
    mounts: makeMounts(app, name, defaults, volumes),
    limits: limitsOf(app),
    restart: { ...app.restart },
    stop: { signal: defaults.stopSignal, timeoutMs: app.stopTimeoutMs },
    seccomp: app.seccomp,
    protectPaths: !(isAllRun || request.insecure.has("paths")),
    annotations: { ...defaults.annotations, ...app.annotations },
  };
}

function userOverride(app: AppRequest): { user?: string } {
  if (app.user === undefined && app.group === undefined) return {};
  return { user: app.group === undefined ? (app.user ?? "") : `${app.user ?? "0"}:${app.group}` };
}

/** Apps of one pod tell themselves apart by it, as in rkt. */
function withAppName(env: readonly string[], name: string): string[] {
  return env.some((variable) => variable.startsWith("AC_APP_NAME=")) ? [...env] : [...env, `AC_APP_NAME=${name}`];
}

function limitsOf(app: AppRequest): AppPlan["limits"] {
  const { memoryBytes, cpuMillis, cpuShares, tasksMax, oomScoreAdjust } = app;
  const all = { memoryBytes, cpuMillis, cpuShares, tasksMax, oomScoreAdjust };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/**
 * The app's mounts, and an empty volume for each place where the image wants one and none was given; as rkt did with
 * mount points.
 */
function makeMounts(
  app: AppRequest,
  name: string,
  defaults: ProcessDefaults,
  volumes: VolumePlan[],
): AppPlan["mounts"] {
  const mounts = app.mounts.map(({ volume, target, readOnly }) => ({
    volume,
    path: target,
    readOnly: readOnly ?? volumes.find((each) => each.name === volume)?.readOnly ?? false,
  }));
  for (const path of defaults.volumes) {
    const clean = path.length > 1 ? path.replace(/\/+$/, "") : path;
    if (clean === "/" || mounts.some((mount) => mount.path === clean)) continue;
    const volume = uniqueName(`${name}${clean.replaceAll(/[^A-Za-z0-9]+/g, "-").toLowerCase()}`, volumes);
    volumes.push({ kind: "empty", name: volume, mode: 0o755, uid: 0, gid: 0, readOnly: false });
    mounts.push({ volume, path: clean, readOnly: false });
  }
  return mounts.toSorted((a, b) => (a.path < b.path ? -1 : 1)); // a mount below another comes after it
}

function uniqueName(wanted: string, volumes: readonly VolumePlan[]): string {
  const base = sanitizeName(wanted).slice(0, 58).replace(/-+$/, "");
  for (let i = 0; ; i++) {
    const name = i === 0 ? base : `${base}-${i}`;
    if (!volumes.some((volume) => volume.name === name)) return name;
  }
}

function makeNetwork(request: PodRequest, networks: ReadonlyMap<string, NetworkConfig>): NetworkPlan {
  if (request.net.kind !== "cni") return { kind: request.net.kind };
  return {
    kind: "cni",
    networks: request.net.networks.map(({ name, args }, i) => {
      const config = networks.get(name);
      if (config === undefined) {
        const known = ["host", "none", ...networks.keys()].toSorted().join(", ");
        throw new RequestError(`--net: there is no network ${name}; there are: ${known}`, { network: name });
      }
      return {
        name,
        interface: `eth${i}`,
        args: [...args],
        cniVersion: config.cniVersion,
        plugins: config.plugins.map((plugin) => ({ ...plugin })),
      };
    }),
    ports: request.ports.map((port) => ({ ...port })),
  };
}

function resolvConf(dns: DnsRequest): string {
  const lines = [
    ...dns.servers.map((ip) => `nameserver ${ip}`),
    ...(dns.domain === undefined ? [] : [`domain ${dns.domain}`]),
    ...(dns.search.length === 0 ? [] : [`search ${dns.search.join(" ")}`]),
    ...(dns.options.length === 0 ? [] : [`options ${dns.options.join(" ")}`]),
  ];
  return lines.map((line) => `${line}\n`).join("");
}
