import { type Clock, type UnitName } from "@keelson/types";
import {
  type JobOptions,
  type JobResult,
  type JournalOptions,
  parseOptions,
  type UnitFile,
  type UnitManager,
  UnitManagerError,
  UnitNotLoadedError,
  type UnitStatus,
} from "@keelson/unit";

interface FakeUnit {
  content: string;
  activeState: "inactive" | "activating" | "active" | "failed";
  pid: number | undefined;
  invocation: number | undefined;
}

/**
 * A unit manager without processes. Units start in `startMs`; what a unit's text says decides how it behaves:
 * `ExecStart=fail` fails, `ExecStart=hang` never comes up, `ExecStart=reject` makes the manager itself refuse.
 */
export class FakeUnitManager implements UnitManager {
  /** Every call that changes something, such as `start web.service`. */
  readonly calls: string[] = [];
  readonly #units = new Map<UnitName, FakeUnit>();
  readonly #listeners = new Set<(status: UnitStatus) => void>();
  readonly #clock: Clock;
  #nextPid = 100;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async load(units: readonly UnitFile[]): Promise<void> {
    await this.#pause(1);
    const bad = units.find((unit) => unit.content.includes("BadFile"));
    if (bad !== undefined) throw new UnitManagerError(`unit ${bad.name} cannot be read`);
    for (const { name, content } of units) {
      this.calls.push(`load ${name}`);
      const known = this.#units.get(name);
      if (known !== undefined) known.content = content;
      else this.#units.set(name, { content, activeState: "inactive", pid: undefined, invocation: undefined });
      this.#notify(name);
    }
  }

  async unload(names: readonly UnitName[]): Promise<void> {
    await this.#pause(1);
    for (const name of names) {
      this.calls.push(`unload ${name}`);
      this.#units.delete(name);
    }
  }

  async start(name: UnitName, options: JobOptions = {}): Promise<JobResult> {
    const unit = this.#get(name);
    this.calls.push(`start ${name}`);
    if (unit.activeState === "active") return "done";
    if (unit.content.includes("ExecStart=reject")) throw new UnitManagerError(`unit ${name} was refused`);
    unit.activeState = "activating";
    unit.invocation = this.#nextPid;
    this.#notify(name);
    if (unit.content.includes("ExecStart=hang")) {
      await new Promise((_, reject) => {
        options.signal?.addEventListener("abort", () => reject(options.signal?.reason), { once: true });
      });
    }
    await this.#pause(10);
    const isFailing = unit.content.includes("ExecStart=fail");
    unit.activeState = isFailing ? "failed" : "active";
    unit.pid = isFailing ? undefined : this.#nextPid++;
    this.#notify(name);
    return isFailing ? "failed" : "done";
  }

  async stop(name: UnitName): Promise<JobResult> {
    const unit = this.#get(name);
    this.calls.push(`stop ${name}`);
    await this.#pause(5);
    unit.activeState = "inactive";
    unit.pid = undefined;
    this.#notify(name);
    return "done";
  }

  async list(): Promise<UnitStatus[]> {
    await this.#pause(1);
    return [...this.#units.keys()].sort().map((name) => this.#statusOf(name));
  }

  content(name: UnitName): Promise<string | undefined> {
    return Promise.resolve(this.#units.get(name)?.content);
  }

  status(name: UnitName): Promise<UnitStatus> {
    return Promise.resolve(this.#statusOf(name));
  }

  subscribe(fn: (status: UnitStatus) => void): Disposable {
    this.#listeners.add(fn);
    return { [Symbol.dispose]: () => void this.#listeners.delete(fn) };
  }

  async *journal(name: UnitName, options: JournalOptions): AsyncIterable<string> {
    this.#get(name);
    const lines = Array.from({ length: 12 }, (_, i) => `line ${i + 1} of ${name}`);
    yield* lines.slice(Math.max(0, lines.length - options.lines));
    if (options.follow !== true) return;
    await new Promise<void>((resolve) => options.signal?.addEventListener("abort", () => resolve(), { once: true }));
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** Names of the units that are loaded. */
  loaded(): UnitName[] {
    return [...this.#units.keys()].sort();
  }

  /** Names of the units that run. */
  running(): UnitName[] {
    return [...this.#units]
      .filter(([, unit]) => unit.activeState === "active")
      .map(([name]) => name)
      .sort();
  }

  pid(name: UnitName): number | undefined {
    return this.#units.get(name)?.pid;
  }

  /** As if a process had died. */
  crash(name: UnitName): void {
    const unit = this.#get(name);
    unit.activeState = "failed";
    unit.pid = undefined;
    this.#notify(name);
  }

  #get(name: UnitName): FakeUnit {
    const unit = this.#units.get(name);
    if (unit === undefined) throw new UnitNotLoadedError(name);
    return unit;
  }

  #statusOf(name: UnitName): UnitStatus {
    const unit = this.#units.get(name);
    if (unit === undefined) return { name, loadState: "not-found", activeState: "inactive", subState: "dead" };
    const subState = { inactive: "dead", activating: "start", active: "running", failed: "failed" }[unit.activeState];
    return {
      name,
      loadState: "loaded",
      activeState: unit.activeState,
      subState,
      ...(unit.pid === undefined ? {} : { mainPid: unit.pid }),
      ...(unit.invocation === undefined ? {} : { invocationId: String(unit.invocation).padStart(32, "0") }),
    };
  }

  #notify(name: UnitName): void {
    const status = this.#statusOf(name);
    for (const fn of this.#listeners) fn(status);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(ms, resolve));
  }
}

/** The settings of a unit's text. */
export const optionsOf = parseOptions;
