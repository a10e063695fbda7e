import { randomUUID } from "node:crypto";
import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { run } from "@keelson/linux";
import type { UserFiles } from "@keelson/oci";
import { canPublish } from "../core/cni.ts";
import { makePlan, type PlanImage } from "../core/make-plan.ts";
import { type NetworkConfig, parseNetworkConfig } from "../core/network-config.ts";
import type { PodPlan } from "../core/plan.ts";
import { podLayout } from "../core/pod-files.ts";
import { type AppRequest, isPlainHttpAllowed, type PodRequest, parsePodName } from "../core/request.ts";
import { parseVariable } from "../core/values.ts";
import { NetworkError, PodError, RequestError } from "../errors.ts";
import { isNotFound, namesIn, syncDirectory } from "./files.ts";
import type { ImageSource, RuntimeImage } from "./images.ts";
import type { PodStore } from "./pod-store.ts";
import { bootId } from "./process.ts";

/** What a pod is prepared with. */
export interface PrepareContext {
  readonly pods: PodStore;
  readonly images: ImageSource;
  /** Directories of networks; of two files of one name the later directory's counts, as in systemd. */
  readonly networkDirectories: readonly string[];
  /** Where rt-lib is. */
  readonly scripts: string;
  /** The environment that `--inherit-env` gives. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Options of {@link preparePod}. */
export interface PrepareOptions {
  /** The pod of a unit that somebody wrote: it replaces the one before it. */
  readonly unit?: { readonly name: string; readonly arguments: readonly string[] };
  readonly isTerminal?: boolean;
  /** Told after each step, for tests that end the process there. */
  readonly onStep?: (step: string) => void;
}

/**
 * Prepares a pod: all that takes thought or time is done here, so that its start is a few mounts and crun. After a crash
 * at any moment there is a whole prepared pod, or something that `gc` removes.
 *
 * @throws RequestError and what the image store throws; nothing is left then
 */
export async function preparePod(
  context: PrepareContext,
  request: PodRequest,
  options: PrepareOptions = {},
): Promise<PodPlan> {
  const { pods } = context;
  const onStep = options.onStep ?? (() => {});
  if (options.unit !== undefined) await checkUnitName(pods, options.unit.name);
  const networks = await loadNetworks(context.networkDirectories);
  const environment = await environmentOf(context, request);
  await checkVolumes(pods.root, request);
  const images = await Promise.all(request.apps.map((app) => findImage(context.images, app, request)));
  onStep("images");
  const withFiles = await Promise.all(
    images.map(async (image, i) => await planImage(context.scripts, image, request.apps[i])),
  );
  const plan = makePlan(request, { uuid: randomUUID(), images: withFiles, networks, environment });
  if (plan.network.kind === "cni" && plan.network.ports.length > 0 && !canPublish(plan.network))
    throw new NetworkError(
      "--port: none of the pod's networks can publish ports (a plugin with the capability portMappings does that)",
    );

  const podDirectory = pods.path("run", plan.uuid);
  const layout = podLayout(plan, {
    podDirectory,
    isFresh: options.unit !== undefined,
    isTerminal: options.isTerminal === true,
  });
  const directory = await pods.begin(plan.uuid, onStep);
  try {
    const unitFiles =
      options.unit === undefined
        ? []
        : [{ path: "arguments", content: `${options.unit.arguments.join("\n")}\n`, mode: 0o600 }];
    await pods.write(directory, { ...layout, files: [...layout.files, ...unitFiles] }, onStep);
    await checkLayers(withFiles);
    if (plan.name !== undefined && options.unit === undefined) await pods.claimName(plan.name, plan.uuid);
    onStep("named");
    if (options.unit === undefined) await pods.move(plan.uuid, "prepare", "prepared");
    else await takeUnit(pods, plan, options.unit.name, directory);
    onStep("done");
    return plan;
  } catch (error) {
    await pods.move(plan.uuid, "prepare", "garbage");
    if (plan.name !== undefined) await pods.releaseName(plan.name, plan.uuid);
    const place = await pods.find(plan.uuid);
    if (place?.phase === "garbage") await pods.remove(place);
    throw error;
  }
}

/** A unit's pod may replace the one before it, and no other. */
async function checkUnitName(pods: PodStore, name: string): Promise<void> {
  parsePodName("--unit-pod", name);
  const before = await pods.named(name);
  const place = before === undefined ? undefined : await pods.find(before);
  if (place === undefined || (await pods.runRecord(place))?.mode === "unit") return;
  throw new PodError(`the name ${name} belongs to pod ${place.uuid}, which is not that of a unit: remove it first`);
}

/** The pod takes the place of the unit's former one, at one moment: when the name points to it. */
async function takeUnit(pods: PodStore, plan: PodPlan, name: string, directory: string): Promise<void> {
  const [app] = plan.apps;
  if (app === undefined || plan.apps.length !== 1)
    throw new RequestError("a unit runs one app; give several to units of their own, or use rkt run");
  await pods.writeRunRecord(directory, {
    mode: "unit",
    services: { [app.name]: `${name}.service` },
    bootId: bootId(),
    startedAtMs: Date.now(),
  });
  const before = await pods.named(name);
  await pods.move(plan.uuid, "prepare", "run");
  await pods.moveName(name, plan.uuid);
  if (before !== undefined) await pods.move(before, "run", "exited-garbage");
}

async function findImage(images: ImageSource, app: AppRequest, request: PodRequest): Promise<RuntimeImage> {
  const name = app.image.replace(/^docker:\/\//, "");
  const here = request.pullPolicy === "update" ? undefined : await images.get(name);
  if (here !== undefined) return here;
  if (request.pullPolicy === "never")
    throw new RequestError(
      `the image ${name} is not here, and --pull-policy=never says not to get it (rkt fetch ${name})`,
    );
  return await images.pull(name, { isPlainHttpAllowed: isPlainHttpAllowed(request.insecure) });
}

async function planImage(scripts: string, image: RuntimeImage, app: AppRequest | undefined): Promise<PlanImage> {
  const layers = image.layers.map(({ diffId, erofsPath }) => ({ diffId, path: erofsPath }));
  const files = await readUserFiles(
    scripts,
    layers.map(({ path }) => path),
  );
  return { id: image.id, name: image.names[0] ?? app?.image ?? image.id, config: image.config, layers, files };
}

/** Most of /etc/passwd or /etc/group that is read. */
const USER_FILE_BYTES_MAX = 1024 * 1024;

/** In the image's own root, where its links cannot lead to the machine's files: neither name may be a link at all. */
const PEEK = `. "$1/rt-lib"; shift; mount_layers memory "$@"
for file in passwd group; do
  path=rootfs/etc/$file
  if [ ! -L rootfs/etc ] && [ ! -L "$path" ] && [ -f "$path" ]; then
    head -c ${USER_FILE_BYTES_MAX} "$path" >"$file"
    printf '%s %s\\n' "$file" "$(wc -c <"$file")"
    cat "$file"
  fi
done`;

/** An image's user and group names. Its layers are mounted in a namespace that ends with the shell that reads them. */
async function readUserFiles(scripts: string, layers: readonly string[]): Promise<UserFiles> {
  const argv = [
    "unshare",
    "--mount",
    "--propagation=private",
    "--",
    "sh",
    "-euc",
    PEEK,
    "peek",
    scripts,
    ...layers.toReversed(),
  ] as const;
  const { stdout } = await run(argv, { maxOutputBytes: 4 * USER_FILE_BYTES_MAX });
  const bytes = Buffer.from(stdout, "utf8");
  const files: { passwd: string | undefined; group: string | undefined } = { passwd: undefined, group: undefined };
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at);
    const [name, size] = bytes.toString("utf8", at, end).split(" ");
    const next = end + 1 + Number(size);
    if (name === "passwd" || name === "group") files[name] = bytes.toString("utf8", end + 1, next);
    at = next;
    if (!(end > 0) || !(next > end)) break;
  }
  return files;
}

async function checkLayers(images: readonly PlanImage[]): Promise<void> {
  for (const image of images) {
    for (const { path } of image.layers) {
      try {
        await stat(path);
      } catch (cause) {
        throw new PodError(
          `the image ${image.name} was removed while the pod was prepared: ${path} is gone`,
          {},
          { cause },
        );
      }
    }
  }
}

/** Volumes of the machine have to be there; those that we keep by name are made. */
async function checkVolumes(root: string, request: PodRequest): Promise<void> {
  const own = join(root, "volumes");
  for (const volume of request.volumes) {
    if (volume.kind !== "host") continue;
    if (volume.source.startsWith(`${own}/`) && !volume.source.slice(own.length + 1).includes("/")) {
      await mkdir(volume.source, { recursive: true, mode: 0o755 });
      await syncDirectory(own);
      continue;
    }
    try {
      await stat(volume.source);
    } catch (cause) {
      throw new RequestError(
        `--volume: the source of ${volume.name} is not there: ${volume.source}`,
        { volume: volume.name },
        { cause },
      );
    }
  }
}

async function environmentOf(context: PrepareContext, request: PodRequest): Promise<string[]> {
  const inherited = request.isEnvironmentInherited
    ? Object.entries(context.environment).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]))
    : [];
  const fromFiles: string[] = [];
  for (const path of request.environmentFiles) {
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (cause) {
      throw new RequestError(`--set-env-file: ${path} cannot be read`, { path }, { cause });
    }
    const lines = text.split("\n").map((line) => line.trim());
    fromFiles.push(
      ...lines
        .filter((line) => line !== "" && !line.startsWith("#"))
        .map((line) => parseVariable(`--set-env-file ${path}`, line)),
    );
  }
  return [...inherited, ...fromFiles];
}

/** Networks by name. @throws NetworkError that names the file which cannot be used */
export async function loadNetworks(directories: readonly string[]): Promise<ReadonlyMap<string, NetworkConfig>> {
  const paths = new Map<string, string>();
  for (const directory of directories) {
    for (const name of await namesIn(directory))
      if (/\.(conf|conflist)$/.test(name)) paths.set(name, join(directory, name));
  }
  const networks = new Map<string, NetworkConfig>();
  for (const [, path] of [...paths].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const text = await readFile(path, "utf8").catch((error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw new NetworkError(`${path} cannot be read`, { path }, { cause: error });
    });
    // An empty file of the same name takes the vendor's away.
    if (text === undefined || text.trim() === "") continue;
    const config = parseNetworkConfig(text, path);
    if (!networks.has(config.name)) networks.set(config.name, config);
  }
  return networks;
}
