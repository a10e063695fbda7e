import { chmod, chown, lstat, mkdir, readlink, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { type PodPlan, parsePlan } from "../core/plan.ts";
import type { PodDirectory, PodFile, PodLayout } from "../core/pod-files.ts";
import { type EndRecord, PHASES, type Phase, parseEnd, type RunRecord } from "../core/state.ts";
import { PlanError, PodError } from "../errors.ts";
import {
  isNotFound,
  isThere,
  makeDirectories,
  moveDirectory,
  namesIn,
  readText,
  replaceFile,
  replaceLink,
  syncDirectory,
  writeNewFile,
} from "./files.ts";
import { bootId, isAlive, ownProcess, type ProcessKey } from "./process.ts";

/** Where a pod is. */
export interface PodPlace {
  readonly uuid: string;
  readonly phase: Phase;
  readonly directory: string;
  /** When it came to this phase. */
  readonly sinceMs: number;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The pods of a machine on disk, laid out as rkt did: a directory for each phase of a pod's life, and renames between
 * them. Nobody holds a lock; who loses a race finds the directory gone and treats it as such.
 */
export class PodStore {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Makes the directories that are missing. */
  async open(): Promise<void> {
    await makeDirectories(this.root, ["pods/named", "volumes", ...PHASES.map((phase) => `pods/${phase}`)], 0o711);
  }

  path(phase: Phase, uuid: string): string {
    return join(this.root, "pods", phase, uuid);
  }

  /** Every pod there is. A pod that moves meanwhile is seen in one of its places, or not. */
  async list(): Promise<PodPlace[]> {
    const places = new Map<string, PodPlace>();
    for (const phase of PHASES) {
      for (const uuid of await namesIn(join(this.root, "pods", phase))) {
        const place = UUID.test(uuid) ? await this.#place(phase, uuid) : undefined;
        if (place !== undefined) places.set(uuid, place);
      }
    }
    return [...places.values()];
  }

  /** Where a pod is; undefined when it is nowhere. */
  async find(uuid: string): Promise<PodPlace | undefined> {
    for (const phase of PHASES) {
      const place = await this.#place(phase, uuid);
      if (place !== undefined) return place;
    }
    return undefined;
  }

  /**
   * The pod that somebody means: a name, a uuid, or the beginning of one.
   *
   * @throws PodError when there is none, or more than one
   */
  async resolve(text: string): Promise<PodPlace> {
    const named = await this.named(text);
    if (named !== undefined) {
      const place = await this.find(named);
      if (place !== undefined) return place;
    }
    const prefix = text.toLowerCase();
    if (!/^[0-9a-f-]{1,36}$/.test(prefix))
      throw new PodError(`there is no pod ${JSON.stringify(text.slice(0, 100))} (see: rkt list)`);
    const found = (await this.list()).filter(({ uuid }) => uuid.startsWith(prefix));
    const [first] = found;
    if (first === undefined) throw new PodError(`there is no pod ${JSON.stringify(text)} (see: rkt list)`);
    if (found.length > 1)
      throw new PodError(
        `${JSON.stringify(text)} is the beginning of ${found.length} pods' uuids: ${found.map(({ uuid }) => uuid).join(", ")}`,
      );
    return first;
  }

  async #place(phase: Phase, uuid: string): Promise<PodPlace | undefined> {
    const directory = this.path(phase, uuid);
    try {
      const { ctimeMs } = await lstat(directory);
      return { uuid, phase, directory, sinceMs: ctimeMs };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Begins a pod: from here until it leaves `prepare`, its directory names the process that is at it. */
  async begin(uuid: string, onStep: (step: string) => void = () => {}): Promise<string> {
    const embryo = this.path("embryo", uuid);
    await mkdir(embryo, { mode: 0o711 });
    onStep("embryo");
    await writeNewFile(
      join(embryo, "preparing.json"),
      `${JSON.stringify({ ...ownProcess(), bootId: bootId() })}\n`,
      0o600,
    );
    onStep("embryo-locked");
    await moveDirectory(embryo, this.path("prepare", uuid));
    onStep("prepare");
    return this.path("prepare", uuid);
  }

  /** Writes a pod's files, durably. `onStep` is told after each: tests end the process there. */
  async write(directory: string, layout: PodLayout, onStep: (step: string) => void = () => {}): Promise<void> {
    for (const each of layout.directories) {
      await makeDirectory(directory, each);
      onStep(`directory ${each.path}`);
    }
    for (const file of layout.files) {
      await writeFile(directory, file);
      onStep(`file ${file.path}`);
    }
    for (const { path } of layout.directories) await syncDirectory(join(directory, path));
    await syncDirectory(directory);
    onStep("synced");
  }

  /** Moves a pod on. False when it was not there any more. */
  async move(uuid: string, from: Phase, to: Phase): Promise<boolean> {
    return await moveDirectory(this.path(from, uuid), this.path(to, uuid));
  }

  /** Whether the process that prepares a pod lives. */
  async isBeingPrepared(place: PodPlace): Promise<boolean> {
    const text = await readText(join(place.directory, "preparing.json"));
    if (text === undefined) return false;
    const owner = parseJson<ProcessKey & { bootId: string }>(text);
    return owner?.bootId === bootId() && isAlive(owner);
  }

  /** A pod's plan. @throws PlanError when it has none that can be read */
  async plan(place: PodPlace): Promise<PodPlan> {
    const text = await readText(join(place.directory, "plan.json"));
    if (text === undefined) throw new PlanError(`pod ${place.uuid} has no plan`);
    return parsePlan(text);
  }

  /** How a pod is or was run. */
  async runRecord(place: PodPlace): Promise<RunRecord | undefined> {
    const text = await readText(join(place.directory, "run.json"));
    return text === undefined ? undefined : parseJson<RunRecord>(text);
  }

  async writeRunRecord(directory: string, record: RunRecord): Promise<void> {
    await replaceFile(join(directory, "run.json"), `${JSON.stringify(record)}\n`);
  }

  /** How an app ended, if it did and was seen to. */
  async end(place: PodPlace, app: string): Promise<EndRecord | undefined> {
    const text = await readText(join(place.directory, "apps", app, "status"), 4096);
    return text === undefined ? undefined : parseEnd(text);
  }

  /** The uuid of a named pod. */
  async named(name: string): Promise<string | undefined> {
    if (name.includes("/") || name === "" || name.length > 200) return undefined;
    try {
      const uuid = (await readlink(join(this.root, "pods", "named", name))).split("/").at(-1) ?? "";
      return UUID.test(uuid) ? uuid : undefined;
    } catch (error) {
      if (
        isNotFound(error) ||
        (error instanceof Error && "code" in error && (error.code === "EINVAL" || error.code === "ENAMETOOLONG"))
      )
        return undefined;
      throw error;
    }
  }

  /** Gives a pod a name that is free. @throws PodError when a pod has it */
  async claimName(name: string, uuid: string): Promise<void> {
    const owner = await this.named(name);
    if (owner !== undefined && (await this.find(owner)) !== undefined)
      throw new PodError(`the name ${name} belongs to pod ${owner}: remove it first (rkt rm ${name})`);
    if (owner !== undefined) await this.releaseName(name, owner);
    try {
      await symlink(`../run/${uuid}`, join(this.root, "pods", "named", name));
    } catch (error) {
      if (isThere(error)) throw new PodError(`the name ${name} was taken just now`);
      throw error;
    }
    await syncDirectory(join(this.root, "pods", "named"));
  }

  /** Gives a name to another pod, at once. */
  async moveName(name: string, uuid: string): Promise<void> {
    await replaceLink(join(this.root, "pods", "named", name), `../run/${uuid}`);
  }

  /** Takes a name away if it still is that pod's. */
  async releaseName(name: string, uuid: string): Promise<void> {
    if ((await this.named(name)) === uuid) await rm(join(this.root, "pods", "named", name), { force: true });
  }

  /** Every name and the uuid behind it. */
  async names(): Promise<Map<string, string>> {
    const result = new Map<string, string>();
    for (const name of await namesIn(join(this.root, "pods", "named"))) {
      const uuid = await this.named(name);
      if (uuid !== undefined) result.set(name, uuid);
    }
    return result;
  }

  /** Deletes a pod's files; it has to be garbage by then. Doing it twice is no error. */
  async remove(place: PodPlace): Promise<void> {
    if (place.phase !== "garbage" && place.phase !== "exited-garbage")
      throw new PodError(`pod ${place.uuid} is not garbage`);
    // Its name goes first: a deletion that was interrupted is gone on with by whoever finds the rest.
    const doomed = this.path("garbage", place.uuid);
    if (place.phase !== "garbage") {
      try {
        await rename(place.directory, doomed);
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    await rm(doomed, { recursive: true, force: true });
  }
}

async function makeDirectory(root: string, directory: PodDirectory): Promise<void> {
  const path = join(root, directory.path);
  await mkdir(path, { mode: directory.mode });
  await chmod(path, directory.mode);
  if (directory.uid !== 0 || directory.gid !== 0) await chown(path, directory.uid, directory.gid);
}

async function writeFile(root: string, file: PodFile): Promise<void> {
  await writeNewFile(join(root, file.path), file.content, file.mode);
}

/** A record of ours; undefined when it cannot be read, which is treated as if it were not there. */
function parseJson<T>(text: string): T | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as T) : undefined;
  } catch {
    return undefined;
  }
}
