import { homedir, hostname as osHostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { SystemClock } from "@keelson/log";
import { type Clock, formatErrorChain, type Logger, silentLogger } from "@keelson/types";
import {
  isTemplate,
  type JobOptions,
  type JobResult,
  type JournalOptions,
  parseUnit,
  parseUnitName,
  type SpecifierHost,
  type UnitFile,
  type UnitManager,
  UnitManagerError,
  UnitManagerUnavailableError,
  UnitNotLoadedError,
  type UnitStatus,
} from "@keelson/unit";
import { BadSettingError, parseService, type ServiceConfig } from "../core/service-config.ts";
import { formatJournalLine, JournalFile, type JournalLine } from "./journal-file.ts";
import { killLeftovers, makeDirectories } from "./leftovers.ts";
import { lockDirectory } from "./lock.ts";
import { installNotifyShim } from "./notify.ts";
import { type RuntimeEnvironment, UnitRuntime } from "./unit-runtime.ts";
import { UnitStore } from "./unit-store.ts";

/** Options of {@link EmbeddedUnitManager.open}. */
export interface EmbeddedUnitManagerOptions {
  /** Holds unit files, journals and run-time state; made when missing. One manager at a time. */
  readonly directory: string;
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** %H and the journal's host name. Default: the host's. */
  readonly hostname?: string;
  /** %m. Without it the specifier is an error. */
  readonly machineId?: string;
  /** Where PATH, LANG and PassEnvironment= come from. Default: this process's environment. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** Lines that a slow reader of a journal may be behind before it loses some. */
const JOURNAL_BACKLOG_MAX = 10_000;

interface LoadedUnit {
  readonly content: string;
  /** Undefined for a template, which cannot run, and for bad settings. */
  readonly config?: ServiceConfig;
  readonly problem?: BadSettingError;
}

/**
 * A unit manager whose units are children of this process: for machines without systemd. Only services; see the README
 * for the settings it honours. When it is disposed it stops all units, as a machine that shuts down.
 */
export class EmbeddedUnitManager implements UnitManager {
  readonly #directory: string;
  readonly #hostname: string;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #specifiers: SpecifierHost;
  readonly #store: UnitStore;
  readonly #lock: Disposable;
  readonly #environment: RuntimeEnvironment;
  readonly #units = new Map<string, LoadedUnit>();
  /** Also of units that were unloaded while they ran. */
  readonly #runtimes = new Map<string, UnitRuntime>();
  readonly #journals = new Map<string, JournalFile>();
  readonly #subscribers = new Set<(status: UnitStatus) => void>();
  readonly #published = new Map<string, string>();
  #closing = false;

  private constructor(options: EmbeddedUnitManagerOptions, lock: Disposable) {
    this.#directory = resolve(options.directory);
    this.#hostname = options.hostname ?? osHostname();
    this.#log = options.logger ?? silentLogger;
    this.#clock = options.clock ?? new SystemClock();
    this.#lock = lock;
    this.#specifiers = {
      hostname: this.#hostname,
      ...(options.machineId === undefined ? {} : { machineId: options.machineId }),
      runtimeDirectory: join(this.#directory, "run"),
      stateDirectory: join(this.#directory, "state"),
      temporaryDirectory: tmpdir(),
      home: homedir(),
    };
    this.#store = new UnitStore(join(this.#directory, "units"));
    this.#environment = {
      directory: this.#directory,
      clock: this.#clock,
      hostEnvironment: options.environment ?? process.env,
      onChange: (name) => this.#onChange(name),
    };
  }

  /**
   * Opens a directory: takes its lock, ends processes that a killed manager left behind, and adopts its unit files.
   *
   * @throws DirectoryLockedError when another manager has it
   */
  static async open(options: EmbeddedUnitManagerOptions): Promise<EmbeddedUnitManager> {
    const directory = resolve(options.directory);
    makeDirectories(directory);
    const lock = lockDirectory(directory);
    try {
      const killed = await killLeftovers(directory);
      installNotifyShim(join(directory, "bin"));
      const manager = new EmbeddedUnitManager(options, lock);
      if (killed > 0) manager.#log.debug("ended processes of a killed unit manager", { killed });
      for (const unit of manager.#store.readAll()) manager.#adopt(unit);
      return manager;
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  }

  async load(units: readonly UnitFile[]): Promise<void> {
    this.#checkOpen();
    const parsed = units.map((unit) => [unit, this.#parse(unit)] as const);
    for (const [unit, loaded] of parsed) {
      this.#store.write(unit);
      this.#install(unit.name, loaded);
      this.#onChange(unit.name);
    }
  }

  async unload(names: readonly string[]): Promise<void> {
    this.#checkOpen();
    for (const name of names) {
      if (!this.#units.delete(name)) continue;
      this.#store.remove(name);
      this.#published.delete(name);
      const runtime = this.#runtimes.get(name);
      if (runtime?.isIdle === true) this.#forget(name, runtime);
    }
  }

  async start(name: string, options: JobOptions = {}): Promise<JobResult> {
    this.#checkOpen();
    return await abortable(this.#start(name, new Set()), options.signal);
  }

  async stop(name: string, options: JobOptions = {}): Promise<JobResult> {
    this.#checkOpen();
    this.#loaded(name);
    const runtime = this.#runtimes.get(name);
    return runtime === undefined ? "done" : await abortable(runtime.job("stop"), options.signal);
  }

  async list(): Promise<UnitStatus[]> {
    const names = [...this.#units.keys()].filter((name) => !isTemplate(parseUnitName(name)));
    return names.toSorted().map((name) => this.#status(name));
  }

  async content(name: string): Promise<string | undefined> {
    return this.#units.get(name)?.content;
  }

  async status(name: string): Promise<UnitStatus> {
    return this.#status(name);
  }

  subscribe(fn: (status: UnitStatus) => void): Disposable {
    this.#subscribers.add(fn);
    return { [Symbol.dispose]: () => void this.#subscribers.delete(fn) };
  }

  async *journal(name: string, options: JournalOptions): AsyncIterable<string> {
    this.#loaded(name);
    const file = this.#journal(name);
    const waiting: JournalLine[] = [];
    let wake = Promise.withResolvers<void>();
    // Listen before reading, in one turn: no line falls between.
    using _listening = file.listen((line) => {
      if (waiting.length < JOURNAL_BACKLOG_MAX) waiting.push(line);
      wake.resolve();
    });
    const kept = options.lines > 0 ? file.read().slice(-Math.min(options.lines, 10_000)) : [];
    for (const line of kept) yield formatJournalLine(line, this.#hostname);
    if (options.follow !== true) return;
    const { signal } = options;
    const abort = () => wake.resolve();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      while (signal?.aborted !== true && !this.#closing) {
        for (let line = waiting.shift(); line !== undefined; line = waiting.shift())
          yield formatJournalLine(line, this.#hostname);
        await wake.promise;
        wake = Promise.withResolvers<void>();
      }
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Stops all units, waiting for them, and gives the directory free. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    await Promise.all([...this.#runtimes.values()].map((runtime) => runtime.job("stop")));
    for (const [name, runtime] of this.#runtimes) this.#forget(name, runtime);
    for (const journal of this.#journals.values()) {
      journal.append("manager", "keelson", process.pid, "the unit manager ends");
      journal.close();
    }
    this.#subscribers.clear();
    this.#lock[Symbol.dispose]();
  }

  async #start(name: string, chain: ReadonlySet<string>): Promise<JobResult> {
    const { config, problem } = this.#loaded(name);
    if (config === undefined) {
      if (problem !== undefined)
        throw new UnitManagerError(`unit ${name} cannot be started`, { name }, { cause: problem });
      throw new UnitManagerError(`unit ${name} is a template; start an instance of it`, { name });
    }
    const isNew = (other: string) =>
      this.#units.get(other)?.config !== undefined && !chain.has(other) && other !== name;
    const next = new Set([...chain, name]);
    for (const other of config.conflicts) await this.#runtimes.get(other)?.job("stop");
    // What is not ordered after starts beside us; what is wanted may fail.
    const pulled = [...config.requires, ...config.wants].filter(isNew);
    const jobs = new Map(pulled.map((other) => [other, this.#start(other, next)] as const));
    for (const [other, job] of jobs) {
      const ordered = config.after.includes(other) || this.#units.get(other)?.config?.before.includes(name) === true;
      if (!ordered) {
        job.catch((error: unknown) => this.#log.debug("a wanted unit did not start", { unit: other, error }));
        continue;
      }
      const result = await job;
      if (result !== "done" && result !== "skipped" && config.requires.includes(other)) return "dependency";
    }
    return await this.#runtime(name, config).job("start");
  }

  #adopt(unit: UnitFile): void {
    try {
      this.#install(unit.name, this.#parse(unit));
    } catch (error) {
      this.#log.debug("a unit file was left alone", { unit: unit.name, error: formatErrorChain(error) });
    }
  }

  /** @throws UnitNameError, UnitSyntaxError, UnitManagerError */
  #parse(unit: UnitFile): LoadedUnit {
    const info = parseUnitName(unit.name);
    const document = parseUnit(unit.content);
    if (info.type !== "service") {
      throw new UnitManagerError(
        `unit ${unit.name} cannot be loaded: the embedded unit manager runs services only, not .${info.type} units`,
        { name: unit.name },
      );
    }
    if (isTemplate(info)) return { content: unit.content };
    try {
      return { content: unit.content, config: parseService(unit.name, document, this.#specifiers) };
    } catch (problem) {
      if (!(problem instanceof BadSettingError)) throw problem;
      return { content: unit.content, problem };
    }
  }

  #install(name: string, unit: LoadedUnit): void {
    this.#units.set(name, unit);
    const runtime = this.#runtimes.get(name);
    if (unit.config !== undefined) runtime?.configure(unit.config);
    for (const warning of unit.config?.warnings ?? [])
      this.#log.debug("unit setting without effect", { unit: name, warning });
  }

  #runtime(name: string, config: ServiceConfig): UnitRuntime {
    const known = this.#runtimes.get(name);
    if (known !== undefined) return known;
    const runtime = new UnitRuntime(config, this.#journal(name), this.#environment);
    this.#runtimes.set(name, runtime);
    for (const warning of config.warnings)
      this.#journal(name).append("manager", "keelson", process.pid, `${name}: ${warning}`);
    return runtime;
  }

  #journal(name: string): JournalFile {
    return this.#journals.getOrInsertComputed(
      name,
      () => new JournalFile(join(this.#directory, "journal", `${name}.log`), () => this.#clock.wallMs()),
    );
  }

  #loaded(name: string): LoadedUnit {
    const unit = this.#units.get(name);
    if (unit === undefined) throw new UnitNotLoadedError(name);
    return unit;
  }

  #status(name: string): UnitStatus {
    const unit = this.#units.get(name);
    const running = this.#runtimes.get(name)?.status ?? {
      activeState: "inactive",
      subState: "dead",
      result: "success",
    };
    const warnings = unit?.problem === undefined ? this.#warnings(unit?.config) : [formatErrorChain(unit.problem)];
    return {
      name,
      loadState: unit === undefined ? "not-found" : unit.problem === undefined ? "loaded" : "bad-setting",
      ...running,
      ...(warnings.length > 0 ? { warnings } : {}),
    };
  }

  #warnings(config: ServiceConfig | undefined): readonly string[] {
    if (config === undefined) return [];
    const missing = config.requires
      .filter((other) => !this.#units.has(other))
      .map((other) => `the required unit ${other} is not loaded here and is not waited for`);
    return [...config.warnings, ...missing];
  }

  #onChange(name: string): void {
    const runtime = this.#runtimes.get(name);
    runtime?.forgetIfIdle();
    if (!this.#units.has(name)) {
      if (runtime?.isIdle === true) this.#forget(name, runtime);
      return;
    }
    const status = this.#status(name);
    const text = JSON.stringify(status);
    if (this.#published.get(name) === text) return;
    this.#published.set(name, text);
    for (const subscriber of this.#subscribers) subscriber(status);
  }

  #forget(name: string, runtime: UnitRuntime): void {
    runtime.forgetIfIdle();
    runtime.close();
    this.#runtimes.delete(name);
    this.#journals.delete(name);
  }

  #checkOpen(): void {
    if (this.#closing) throw new UnitManagerUnavailableError("the unit manager is shutting down");
  }
}

/** Waits for a job unless the signal aborts first; the job goes on. */
async function abortable<T>(job: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await job;
  job.catch(() => {}); // the waiter may be gone when it fails
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([job, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
