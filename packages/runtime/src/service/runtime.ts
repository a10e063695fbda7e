import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { run } from "@keelson/linux";
import { type Logger, silentLogger } from "@keelson/types";
import { addressesOf } from "../core/cni.ts";
import { type GcAction, planGc } from "../core/gc.ts";
import type { PodPlan } from "../core/plan.ts";
import type { PodRequest } from "../core/request.ts";
import {
  type AppStatus,
  appStatuses,
  type EndRecord,
  type PodFacts,
  type PodState,
  podState,
  type RunRecord,
  type ServiceFacts,
} from "../core/state.ts";
import { containerId, renderUnits, sliceName } from "../core/units.ts";
import { PodError } from "../errors.ts";
import { modifiedAtMs, namesIn, readText } from "./files.ts";
import type { ImageSource } from "./images.ts";
import { type PodPlace, PodStore } from "./pod-store.ts";
import { type PrepareOptions, preparePod } from "./prepare.ts";
import { bootId, isAlive } from "./process.ts";
import type { ServiceManager } from "./systemd.ts";

/** Options of {@link PodRuntime.open}. */
export interface PodRuntimeOptions {
  readonly images: ImageSource;
  readonly services: ServiceManager;
  /** Default `/var/lib/rkt`. The scripts of the image know this place only. */
  readonly directory?: string;
  /** Default `/run/rkt`: what does not outlive a boot. */
  readonly runDirectory?: string;
  /** Default `/usr/lib/rkt/net.d` and `/etc/rkt/net.d`. */
  readonly networkDirectories?: readonly string[];
  /** Default `/usr/lib/rkt`. */
  readonly scripts?: string;
  /** For `--inherit-env`. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly nowMs?: () => number;
  readonly logger?: Logger;
}

/** A pod, as `rkt list` and `rkt status` tell of it. */
export interface PodStatus {
  readonly uuid: string;
  readonly state: PodState;
  readonly name?: string;
  readonly apps: readonly (AppStatus & { readonly imageName: string; readonly imageId: string })[];
  readonly createdAtMs: number;
  readonly startedAtMs?: number;
  /** `default:ip4=172.16.28.2`. */
  readonly networks: readonly { readonly name: string; readonly ips: readonly string[] }[];
  readonly run?: RunRecord;
  /** Why its plan cannot be read; such a pod has no apps. */
  readonly problem?: string;
}

/** Settings of a collection. */
export interface GcSettings {
  readonly graceMs: number;
  readonly preparedMs: number;
  readonly isMarkOnly: boolean;
}

/** The pods of this machine. No daemon: every program that opens it sees the same directories and the same systemd. */
export class PodRuntime {
  readonly pods: PodStore;
  readonly #options: PodRuntimeOptions;
  readonly #services: ServiceManager;
  readonly #log: Logger;
  readonly #runDirectory: string;
  readonly #scripts: string;

  private constructor(options: PodRuntimeOptions) {
    this.#options = options;
    this.pods = new PodStore(options.directory ?? "/var/lib/rkt");
    this.#services = options.services;
    this.#log = options.logger ?? silentLogger;
    this.#runDirectory = options.runDirectory ?? "/run/rkt";
    this.#scripts = options.scripts ?? "/usr/lib/rkt";
  }

  static async open(options: PodRuntimeOptions): Promise<PodRuntime> {
    const runtime = new PodRuntime(options);
    await runtime.pods.open();
    await mkdir(join(runtime.#runDirectory, "mnt"), { recursive: true, mode: 0o711 });
    return runtime;
  }

  /** Prepares a pod from what was asked for. See {@link preparePod}. */
  async prepare(request: PodRequest, options: PrepareOptions = {}): Promise<PodPlan> {
    const context = {
      pods: this.pods,
      images: this.#options.images,
      networkDirectories: this.#options.networkDirectories ?? ["/usr/lib/rkt/net.d", "/etc/rkt/net.d"],
      scripts: this.#scripts,
      environment: this.#options.environment ?? {},
    };
    return await preparePod(context, request, options);
  }

  /**
   * Moves a prepared pod on to `run` and notes how it is run; whoever calls this then runs it, or fails.
   *
   * @throws PodError when it is not prepared: a pod runs once
   */
  async claim(uuid: string, record: RunRecord): Promise<{ plan: PodPlan; directory: string }> {
    const place = await this.pods.find(uuid);
    if (place?.phase !== "prepared")
      throw new PodError(
        `pod ${uuid} is not prepared: ${place === undefined ? "it is not there" : await this.#stateWord(place)}; a pod runs once`,
      );
    const plan = await this.pods.plan(place);
    await this.pods.writeRunRecord(place.directory, record);
    if (!(await this.pods.move(uuid, "prepared", "run"))) throw new PodError(`pod ${uuid} is run by somebody else`);
    return { plan, directory: this.pods.path("run", uuid) };
  }

  /** Runs a prepared pod as services of its own, and returns when they run. */
  async runPrepared(uuid: string): Promise<PodPlan> {
    const place = await this.pods.find(uuid);
    const services = place === undefined ? {} : this.#serviceNames(await this.pods.plan(place));
    const { plan, directory } = await this.claim(uuid, {
      mode: "units",
      services,
      bootId: bootId(),
      startedAtMs: this.#nowMs(),
    });
    const units = renderUnits(plan, directory);
    const started: string[] = [];
    try {
      for (const unit of [...(units.net === undefined ? [] : [units.net]), ...units.apps]) {
        started.push(unit.name);
        await this.#services.start(unit);
      }
    } catch (error) {
      await this.#services.stop(started, true, STOP_MS_MAX).catch(() => {});
      throw error;
    }
    return plan;
  }

  #serviceNames(plan: PodPlan): Record<string, string> {
    const { apps } = renderUnits(plan, this.pods.path("run", plan.uuid));
    return Object.fromEntries(plan.apps.map((app, i) => [app.name, apps[i]?.name ?? ""]));
  }

  /** Every pod. One that is damaged is a row like the others. */
  async list(): Promise<PodStatus[]> {
    const places = await this.pods.list();
    const loaded = await Promise.all(places.map(async (place) => await this.#load(place)));
    const names = new Set(loaded.flatMap(({ run: record }) => Object.values(record?.services ?? {})));
    const services = await this.#services.show([...names]);
    const pods = await Promise.all(loaded.map(async (pod) => await this.#status(pod, services)));
    return pods.toSorted((a, b) => a.createdAtMs - b.createdAtMs || (a.uuid < b.uuid ? -1 : 1));
  }

  /** One pod. @throws PodError when it is not there */
  async status(text: string): Promise<PodStatus> {
    const pod = await this.#load(await this.pods.resolve(text));
    return await this.#status(pod, await this.#services.show(Object.values(pod.run?.services ?? {})));
  }

  /** A pod's plan. */
  async plan(text: string): Promise<PodPlan> {
    return await this.pods.plan(await this.pods.resolve(text));
  }

  /** The images and layers that pods need, whatever state those are in: what an image collector must keep. */
  async imagesInUse(): Promise<{ readonly id: string; readonly diffIds: readonly string[] }[]> {
    const plans = await Promise.all(
      (await this.pods.list()).map(async (place) => await this.pods.plan(place).catch(() => undefined)),
    );
    return plans.flatMap((plan) =>
      (plan?.apps ?? []).map(({ image, layers }) => ({ id: image.id, diffIds: layers.map(({ diffId }) => diffId) })),
    );
  }

  /** Where a pod's files are. */
  async place(text: string): Promise<PodPlace> {
    return await this.pods.resolve(text);
  }

  /** The cgroup of a running app below /sys/fs/cgroup, and crun's name for it. @throws PodError when it does not run */
  async runningApp(
    text: string,
    appName?: string,
  ): Promise<{ uuid: string; app: string; containerId: string; cgroup: string }> {
    const pod = await this.status(text);
    const names = pod.apps.map(({ name }) => name);
    const app =
      appName === undefined && names.length === 1 ? pod.apps[0] : pod.apps.find(({ name }) => name === appName);
    if (app === undefined)
      throw new PodError(`pod ${pod.uuid} has the apps ${names.join(", ")}: choose one with --app=NAME`);
    if (!app.isRunning) throw new PodError(`app ${app.name} of pod ${pod.uuid} does not run: the pod is ${pod.state}`);
    const service = pod.run?.services[app.name];
    const facts = service === undefined ? undefined : (await this.#services.show([service])).get(service);
    return {
      uuid: pod.uuid,
      app: app.name,
      containerId: containerId(pod.uuid, app.name),
      cgroup: facts?.controlGroup ?? "",
    };
  }

  /** Ends a running pod. One that does not run is no error. */
  async stop(text: string, options: { readonly isForced?: boolean } = {}): Promise<"stopped" | "was not running"> {
    const place = await this.pods.resolve(text);
    const pod = await this.status(place.uuid);
    if (pod.state === "preparing") throw new PodError(`pod ${pod.uuid} is being prepared`);
    if (pod.state !== "running") return "was not running";
    const plan = await this.pods.plan(place);
    const patienceMs = Math.max(...plan.apps.map(({ stop }) => stop.timeoutMs)) + STOP_MS_MAX;
    const names = [...new Set(Object.values(pod.run?.services ?? {}))];
    if (pod.run?.mode === "foreground") await this.#stopForeground(plan, pod.run, options.isForced === true);
    else await this.#services.stop(names, options.isForced === true, patienceMs);
    return "stopped";
  }

  async #stopForeground(plan: PodPlan, record: RunRecord, isForced: boolean): Promise<void> {
    const [service] = Object.values(record.services);
    if (service !== undefined && service !== "" && service.endsWith(".service"))
      return await this.#services.stop([service], isForced, STOP_MS_MAX);
    const { process: key } = record;
    if (key === undefined) return;
    const kill = (signal: number | NodeJS.Signals) => {
      if (isAlive(key)) process.kill(key.pid, signal);
    };
    const timeoutMs = Math.max(...plan.apps.map(({ stop }) => stop.timeoutMs));
    kill(isForced ? "SIGKILL" : (plan.apps[0]?.stop.signal ?? "SIGTERM"));
    for (
      const deadline = performance.now() + timeoutMs;
      isAlive(key);
      await new Promise((resolve) => setTimeout(resolve, 20))
    ) {
      if (performance.now() > deadline) return kill("SIGKILL");
    }
  }

  /** Removes a pod that does not run, now. @throws PodError when it runs or is being prepared */
  async remove(text: string): Promise<string> {
    const place = await this.pods.resolve(text);
    const { state } = await this.status(place.uuid);
    if (state === "running" || state === "preparing")
      throw new PodError(`pod ${place.uuid} is ${state}: stop it first (rkt stop ${place.uuid.slice(0, 8)})`);
    if (place.phase !== "garbage" && place.phase !== "exited-garbage") {
      await this.pods.move(place.uuid, place.phase, place.phase === "run" ? "exited-garbage" : "garbage");
    }
    await this.#delete(place.uuid);
    return place.uuid;
  }

  /**
   * Removes the pods of earlier runs of a service whose command is `rkt run`: a service that is restarted over and over
   * keeps one pod.
   */
  async forgetEarlierRuns(service: string, except: string): Promise<void> {
    for (const pod of await this.list()) {
      const isOfService = pod.run?.mode === "foreground" && Object.values(pod.run.services).includes(service);
      if (isOfService && pod.uuid !== except && pod.state === "exited") await this.remove(pod.uuid);
    }
  }

  /** Marks what has ended and deletes what was marked long enough ago. Returns what was done. */
  async collect(settings: GcSettings): Promise<GcAction[]> {
    const pods = await this.list();
    const byName = new Map([...(await this.pods.names())].map(([name, uuid]) => [uuid, name] as const));
    const unitNames = [...byName.values()].map((name) => `${name}.service`);
    const units = await this.#services.show(unitNames);
    const gcPods = await Promise.all(
      pods.map(async ({ uuid, state, run: record, createdAtMs }) => {
        const name = byName.get(uuid);
        const isLoaded = name !== undefined && (units.get(`${name}.service`)?.loadState ?? "not-found") !== "not-found";
        return {
          uuid,
          state,
          sinceMs: (await this.pods.find(uuid))?.sinceMs ?? createdAtMs,
          isKept: record?.mode === "unit" && isLoaded,
        };
      }),
    );
    const actions = planGc(gcPods, { ...settings, nowMs: this.#nowMs() });
    for (const action of actions) await this.#act(action);
    await this.#freeForgottenNetworks();
    return actions;
  }

  async #act(action: GcAction): Promise<void> {
    try {
      if (action.action === "delete") return await this.#delete(action.uuid);
      const place = await this.pods.find(action.uuid);
      if (place !== undefined && place.phase !== action.to) await this.pods.move(action.uuid, place.phase, action.to);
    } catch (error) {
      // One pod that cannot be collected must not keep the others.
      this.#log.warn("pod not collected", { uuid: action.uuid, error });
    }
  }

  async #delete(uuid: string): Promise<void> {
    const place = await this.pods.find(uuid);
    if (place === undefined) return;
    await this.#freeNetworks(place);
    for (const name of await namesIn(join(this.#runDirectory, "crun"))) {
      if (name.startsWith(`rkt-${uuid}-`))
        await run(
          ["crun", `--root=${this.#runDirectory}/crun`, "--cgroup-manager=disabled", "delete", "--force", name],
          { check: false },
        );
    }
    const plan =
      place.phase === "embryo" || place.phase === "prepare"
        ? undefined
        : await this.pods.plan(place).catch(() => undefined);
    if (plan !== undefined && plan.apps.length > 1) await this.#services.stop([sliceName(plan)], false, STOP_MS_MAX);
    for (const [name, owner] of await this.pods.names()) if (owner === uuid) await this.pods.releaseName(name, uuid);
    await this.pods.remove(place);
  }

  /** What a pod's plugins hold still, when nobody could free it: its machine's process was killed, say. */
  async #freeNetworks(place: PodPlace): Promise<void> {
    const held = await namesIn(join(this.#runDirectory, "net", place.uuid));
    if (held.length === 0) return;
    const { exitCode, stderr } = await run([join(this.#scripts, "rt-net"), "del", place.directory], {
      check: false,
      timeoutMs: 120_000,
    });
    if (exitCode !== 0) this.#log.warn("a pod's network was not freed", { uuid: place.uuid, stderr });
  }

  /** Records of pods that are gone: nothing can be run for them any more. */
  async #freeForgottenNetworks(): Promise<void> {
    for (const uuid of await namesIn(join(this.#runDirectory, "net"))) {
      if ((await this.pods.find(uuid)) === undefined)
        await rm(join(this.#runDirectory, "net", uuid), { recursive: true, force: true });
    }
  }

  async #stateWord(place: PodPlace): Promise<string> {
    return `it is ${(await this.status(place.uuid)).state}`;
  }

  async #load(place: PodPlace): Promise<LoadedPod> {
    const record = await this.pods.runRecord(place);
    const isBeingPrepared = place.phase === "prepare" && (await this.pods.isBeingPrepared(place));
    let plan: PodPlan | undefined;
    let problem: string | undefined;
    try {
      if (place.phase !== "embryo" && place.phase !== "prepare") plan = await this.pods.plan(place);
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
    const networks = await this.#networks(place.uuid);
    const createdAtMs = await modifiedAtMs(join(place.directory, "plan.json"));
    return {
      place,
      ...(createdAtMs === undefined ? {} : { createdAtMs }),
      plan,
      ...(problem === undefined ? {} : { problem }),
      ...(record === undefined ? {} : { run: record }),
      isBeingPrepared,
      networks,
    };
  }

  async #networks(uuid: string): Promise<PodStatus["networks"]> {
    const directory = join(this.#runDirectory, "net", uuid);
    const found = (await namesIn(directory)).map(async (name) => {
      const result = (await readText(join(directory, name)).catch(() => undefined)) ?? "";
      return { name: name.replace(/^\d+-/, ""), ips: addressesOf(result) };
    });
    return await Promise.all(found);
  }

  async #status(pod: LoadedPod, services: ReadonlyMap<string, ServiceFacts>): Promise<PodStatus> {
    // After systemd was asked: a service that it has forgotten has noted its end before.
    const ends = new Map<string, EndRecord>();
    for (const { name } of pod.plan?.apps ?? []) {
      const end = await this.pods.end(pod.place, name);
      if (end !== undefined) ends.set(name, end);
    }
    const facts: PodFacts = {
      phase: pod.place.phase,
      isBeingPrepared: pod.isBeingPrepared,
      ...(pod.run === undefined ? {} : { run: pod.run }),
      bootId: bootId(),
      isProcessAlive: pod.run?.process !== undefined && isAlive(pod.run.process),
      services,
      ends,
    };
    const apps = appStatuses(
      (pod.plan?.apps ?? []).map(({ name }) => name),
      facts,
    ).map((app) => {
      const image = pod.plan?.apps.find(({ name }) => name === app.name)?.image;
      return { ...app, imageName: image?.name ?? "", imageId: image?.id ?? "" };
    });
    const startedAtMs =
      pod.run === undefined || pod.place.phase === "prepared" ? undefined : startOf(pod.run, services);
    return {
      uuid: pod.place.uuid,
      state: podState(facts),
      ...(pod.plan?.name === undefined ? {} : { name: pod.plan.name }),
      apps,
      createdAtMs: pod.createdAtMs ?? Math.floor(pod.place.sinceMs),
      ...(startedAtMs === undefined ? {} : { startedAtMs }),
      networks: pod.networks,
      ...(pod.run === undefined ? {} : { run: pod.run }),
      ...(pod.problem === undefined ? {} : { problem: pod.problem }),
    };
  }

  #nowMs(): number {
    return (this.#options.nowMs ?? Date.now)();
  }
}

const STOP_MS_MAX = 30_000;

interface LoadedPod {
  readonly place: PodPlace;
  readonly plan: PodPlan | undefined;
  readonly problem?: string;
  readonly run?: RunRecord;
  readonly isBeingPrepared: boolean;
  readonly networks: PodStatus["networks"];
  readonly createdAtMs?: number;
}

/** A unit that somebody wrote starts its pod again and again: systemd knows when it last did. */
function startOf(record: RunRecord, services: ReadonlyMap<string, ServiceFacts>): number | undefined {
  if (record.mode !== "unit") return record.startedAtMs;
  const times = Object.values(record.services).map((name) => services.get(name)?.startedAtMs);
  return times.find((time) => time !== undefined);
}
