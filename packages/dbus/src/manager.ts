import { setTimeout as delay } from "node:timers/promises";
import { type Logger, silentLogger } from "@keelson/types";
import {
  isTemplate,
  type JobOptions,
  type JobResult,
  type JournalOptions,
  parseUnit,
  parseUnitName,
  type UnitFile,
  type UnitManager,
  UnitManagerUnavailableError,
  UnitNotLoadedError,
  type UnitStatus,
} from "@keelson/unit";
import { isBusError } from "./errors.ts";
import { readJournal } from "./journalctl.ts";
import { unitOfPath } from "./names.ts";
import { Systemd } from "./systemd.ts";
import { UnitFiles } from "./unit-files.ts";

/** Options of {@link SystemdUnitManager}. */
export interface SystemdUnitManagerOptions {
  /** Default: the system bus, `unix:path=/run/dbus/system_bus_socket`. */
  readonly busAddress?: string;
  /** Where unit files are kept, as systemd sees it. Default `/run/fleet/units`: they vanish at a reboot. */
  readonly unitsDirectory?: string;
  /** Where this process finds systemd's root directory, such as `/proc/123/root`. Default `/`. */
  readonly root?: string;
  /** How to run journalctl. Default `["journalctl"]`. */
  readonly journalctl?: readonly [string, ...string[]];
  readonly logger?: Logger;
}

const SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket";
const NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit";
const RETRY_FIRST_MS = 50;
const RETRY_MS_MAX = 2000;

/**
 * The unit manager of a machine that runs systemd, over D-Bus. Connects when first used and again when the connection
 * was lost. The units directory is the only state of its own: a new manager over it adopts its units.
 */
export class SystemdUnitManager implements UnitManager {
  readonly #address: string;
  readonly #journalctl: readonly [string, ...string[]];
  readonly #log: Logger;
  readonly #files: UnitFiles;
  readonly #subscribers = new Set<(status: UnitStatus) => void>();
  readonly #published = new Map<string, string>();
  readonly #changed = new Set<string>();
  readonly #closed = new AbortController();
  #systemd: Promise<Systemd> | undefined;
  #refreshing = false;
  #reloading: Promise<void> = Promise.resolve();
  #nextReload: Promise<void> | undefined;
  /** The load or unload that works on a unit: each is several steps over files and systemd. */
  readonly #busy = new Map<string, Promise<unknown>>();

  constructor(options: SystemdUnitManagerOptions = {}) {
    this.#address = options.busAddress ?? SYSTEM_BUS;
    this.#journalctl = options.journalctl ?? ["journalctl"];
    this.#log = options.logger ?? silentLogger;
    this.#files = new UnitFiles(options.unitsDirectory ?? "/run/fleet/units", options.root ?? "/");
  }

  async load(units: readonly UnitFile[]): Promise<void> {
    const installed = units.filter(({ name, content }) => hasInstall(name, content)).map(({ name }) => name);
    await this.#exclusive(
      units.map(({ name }) => name),
      async () => {
        const systemd = await this.#connected();
        const before = await Promise.all(
          units.map(async ({ name }) => ({ name, content: await this.#files.read(name) })),
        );
        try {
          for (const unit of units) await this.#files.write(unit);
          await systemd.linkUnitFiles(units.map(({ name }) => this.#files.path(name)));
          if (installed.length > 0) await systemd.enableUnitFiles(installed);
        } catch (error) {
          await this.#restore(systemd, before);
          throw error;
        }
      },
    );
    await this.#reload();
    for (const { name } of units) this.#onChanged(name);
  }

  async unload(names: readonly string[]): Promise<void> {
    const mine = names.filter((name) => this.#files.has(name));
    if (mine.length === 0) return;
    await this.#exclusive(mine, async () => {
      const systemd = await this.#connected();
      await this.#disable(systemd, mine);
      for (const name of mine) {
        await this.#files.remove(name);
        this.#published.delete(name);
        if (!isTemplate(parseUnitName(name))) await this.#resetFailed(systemd, name);
      }
      await this.#relinkInstances(systemd, mine);
    });
    await this.#reload();
  }

  async start(name: string, options: JobOptions = {}): Promise<JobResult> {
    return await this.#job("StartUnit", name, options);
  }

  async stop(name: string, options: JobOptions = {}): Promise<JobResult> {
    try {
      return await this.#job("StopUnit", name, options);
    } catch (error) {
      // systemd keeps only units in memory that run, failed, or are referred to: this one is stopped.
      if (isBusError(error, NO_SUCH_UNIT)) return "done";
      throw error;
    }
  }

  async list(): Promise<UnitStatus[]> {
    const names = await this.#files.names();
    return await (await this.#connected()).statuses(names);
  }

  async content(name: string): Promise<string | undefined> {
    return await this.#files.read(name);
  }

  async status(name: string): Promise<UnitStatus> {
    const missing: UnitStatus = { name, loadState: "not-found", activeState: "inactive", subState: "dead" };
    if (!this.#files.has(name)) return missing;
    const [status] = await (await this.#connected()).statuses([name]);
    return status ?? missing;
  }

  subscribe(fn: (status: UnitStatus) => void): Disposable {
    this.#subscribers.add(fn);
    void this.#keepConnected();
    return { [Symbol.dispose]: () => void this.#subscribers.delete(fn) };
  }

  async *journal(name: string, options: JournalOptions): AsyncIterable<string> {
    this.#checkLoaded(name);
    yield* readJournal(this.#journalctl, name, options);
  }

  /** Ends the connection. Units keep running. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#subscribers.clear();
    await Promise.allSettled(this.#busy.values());
    (await this.#systemd?.catch(() => undefined))?.close();
  }

  async #job(method: "StartUnit" | "StopUnit", name: string, { signal }: JobOptions): Promise<JobResult> {
    this.#checkLoaded(name);
    signal?.throwIfAborted();
    const job = (await this.#connected()).job(method, name);
    if (signal === undefined) return await job;
    job.catch(() => {}); // the waiter may be gone when it fails
    const aborted = Promise.withResolvers<never>();
    const abort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    try {
      return await Promise.race([job, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** Puts the files back that a failed load replaced. */
  async #restore(systemd: Systemd, before: readonly { name: string; content: string | undefined }[]): Promise<void> {
    const fresh = before.filter(({ content }) => content === undefined).map(({ name }) => name);
    await systemd
      .disableUnitFiles(fresh)
      .catch((error: unknown) => this.#log.debug("units were not unlinked", { error }));
    for (const { name, content } of before) {
      if (content === undefined) await this.#files.remove(name);
      else await this.#files.write({ name, content });
    }
    await this.#reload().catch((error: unknown) => this.#log.debug("systemd was not reloaded", { error }));
  }

  async #disable(systemd: Systemd, names: readonly string[]): Promise<void> {
    for (const name of names) {
      try {
        await systemd.disableUnitFiles([name]);
      } catch (error) {
        if (!isBusError(error, NO_SUCH_UNIT)) throw error; // somebody has unlinked it already
      }
    }
  }

  /** Disabling a template takes the links of all its instances along, also of those that are loaded units of their own. */
  async #relinkInstances(systemd: Systemd, unloaded: readonly string[]): Promise<void> {
    const templates = new Set(unloaded.filter((name) => isTemplate(parseUnitName(name))));
    if (templates.size === 0) return;
    const instances = (await this.#files.names()).filter((name) => templates.has(parseUnitName(name).template ?? ""));
    if (instances.length === 0) return;
    await systemd.linkUnitFiles(instances.map((name) => this.#files.path(name)));
    for (const name of instances) {
      if (hasInstall(name, (await this.#files.read(name)) ?? "")) await systemd.enableUnitFiles([name]);
    }
  }

  async #resetFailed(systemd: Systemd, name: string): Promise<void> {
    try {
      await systemd.resetFailedUnit(name);
    } catch (error) {
      // systemd has dropped an inactive unit from memory: nothing to reset.
      if (!isBusError(error, NO_SUCH_UNIT)) throw error;
    }
  }

  /** daemon-reload; requests that come while one runs share the next. */
  #reload(): Promise<void> {
    this.#nextReload ??= this.#reloading
      .catch(() => {})
      .then(async () => {
        const systemd = await this.#connected();
        this.#nextReload = undefined; // files that change from here on need another
        this.#reloading = systemd.reload();
        await this.#reloading;
      })
      .finally(() => {
        this.#nextReload = undefined;
      });
    return this.#nextReload;
  }

  /** Runs `work` when no other works on these units; an instance and its template count as one. */
  async #exclusive<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
    const keys = new Set(names.map((name) => parseUnitName(name).template ?? name));
    const before = [...keys].flatMap((key) => this.#busy.get(key) ?? []);
    const result = Promise.allSettled(before).then(work);
    for (const key of keys) this.#busy.set(key, result);
    try {
      return await result;
    } finally {
      for (const key of keys) if (this.#busy.get(key) === result) this.#busy.delete(key);
    }
  }

  #connected(): Promise<Systemd> {
    if (this.#closed.signal.aborted) {
      return Promise.reject(new UnitManagerUnavailableError("the unit manager was closed"));
    }
    this.#systemd ??= this.#connect();
    return this.#systemd;
  }

  async #connect(): Promise<Systemd> {
    try {
      const systemd = await Systemd.connect(this.#address, {
        onUnitPath: (path) => this.#onChanged(unitOfPath(path)),
        onRestart: () => void this.#refreshAll(),
      });
      systemd.ended.catch((error: unknown) => {
        this.#log.debug("the connection to systemd ended", { error });
        this.#systemd = undefined;
        if (!this.#closed.signal.aborted) void this.#keepConnected();
      });
      return systemd;
    } catch (error) {
      this.#systemd = undefined; // the next call tries again
      throw error;
    }
  }

  /** Subscribers need a connection although nobody calls; after a lost one they may have missed changes. */
  async #keepConnected(): Promise<void> {
    for (let waitMs = RETRY_FIRST_MS; this.#subscribers.size > 0; waitMs = Math.min(waitMs * 2, RETRY_MS_MAX)) {
      if (this.#closed.signal.aborted) return;
      try {
        await this.#connected();
        return await this.#refreshAll();
      } catch (error) {
        this.#log.debug("no connection to systemd", { error });
      }
      await delay(waitMs, undefined, { signal: this.#closed.signal }).catch(() => {});
    }
  }

  async #refreshAll(): Promise<void> {
    for (const name of await this.#files.names()) this.#changed.add(name);
    await this.#refresh();
  }

  #onChanged(name: string | undefined): void {
    if (name === undefined || this.#subscribers.size === 0 || !this.#files.has(name)) return;
    if (isTemplate(parseUnitName(name))) return;
    this.#changed.add(name);
    void this.#refresh();
  }

  /** Reads what changed, all of it at once, and again while more changes come in. */
  async #refresh(): Promise<void> {
    if (this.#refreshing) return;
    this.#refreshing = true;
    try {
      while (this.#changed.size > 0) {
        const names = [...this.#changed];
        this.#changed.clear();
        for (const status of await (await this.#connected()).statuses(names)) this.#publish(status);
      }
    } catch (error) {
      this.#log.debug("unit statuses could not be read", { error }); // #keepConnected reads all of them again
    } finally {
      this.#refreshing = false;
    }
  }

  #publish(status: UnitStatus): void {
    if (!this.#files.has(status.name)) return;
    const text = JSON.stringify(status);
    if (this.#published.get(status.name) === text) return;
    this.#published.set(status.name, text);
    for (const subscriber of this.#subscribers) subscriber(status);
  }

  #checkLoaded(name: string): void {
    if (!this.#files.has(name)) throw new UnitNotLoadedError(name);
  }
}

/** Whether the unit asks to be enabled. Checks name and text on the way. @throws UnitNameError, UnitSyntaxError */
function hasInstall(name: string, content: string): boolean {
  const info = parseUnitName(name);
  const document = parseUnit(content);
  return !isTemplate(info) && document.nodes.some((node) => node.type === "option" && node.section === "Install");
}
