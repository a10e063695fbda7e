import type { JobResult, LoadState, UnitStatus } from "@keelson/unit";
import { Variant } from "dbus-next";
import { BusConnection, type BusSignal } from "./bus.ts";
import { unitPath } from "./names.ts";

const SYSTEMD = "org.freedesktop.systemd1";
const MANAGER_PATH = "/org/freedesktop/systemd1";
const MANAGER = "org.freedesktop.systemd1.Manager";
const UNIT = "org.freedesktop.systemd1.Unit";
const SERVICE = "org.freedesktop.systemd1.Service";
const PROPERTIES = "org.freedesktop.DBus.Properties";

/** What systemd tells without being asked. */
export interface SystemdEvents {
  /** A unit's properties changed, or it was loaded or dropped. */
  onUnitPath(path: string): void;
  /** systemd executed itself anew, or went away and came back. */
  onRestart(): void;
}

/** systemd's manager object over one bus connection. Source: org.freedesktop.systemd1(5). */
export class Systemd {
  readonly #bus: BusConnection;
  readonly #waiting: Map<string, PromiseWithResolvers<JobResult>>;
  /** Results of jobs that ended before the call that made them was answered. Kept only while such a call is open. */
  readonly #early: Map<string, JobResult>;
  #asking = 0;

  private constructor(
    bus: BusConnection,
    waiting: Map<string, PromiseWithResolvers<JobResult>>,
    early: Map<string, JobResult>,
  ) {
    this.#bus = bus;
    this.#waiting = waiting;
    this.#early = early;
    bus.ended.catch((error: unknown) => {
      for (const waiter of waiting.values()) waiter.reject(error);
      waiting.clear();
    });
  }

  /** Connects and subscribes. */
  static async connect(address: string, events: SystemdEvents): Promise<Systemd> {
    const waiting = new Map<string, PromiseWithResolvers<JobResult>>();
    const early = new Map<string, JobResult>();
    const listener: { onSignal?: (signal: BusSignal) => void } = {};
    const bus = await BusConnection.open(address, (signal) => listener.onSignal?.(signal));
    const systemd = new Systemd(bus, waiting, early);
    listener.onSignal = (signal) => systemd.#onSignal(signal, events);
    try {
      // Listen first: a job may end before the call that makes it is answered.
      await bus.addMatch(`type='signal',sender='${SYSTEMD}',interface='${MANAGER}',path='${MANAGER_PATH}'`);
      await bus.addMatch(
        `type='signal',sender='${SYSTEMD}',interface='${PROPERTIES}',member='PropertiesChanged',path_namespace='${MANAGER_PATH}/unit'`,
      );
      await bus.addMatch(`type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='${SYSTEMD}'`);
      await systemd.#manager("Subscribe");
      return systemd;
    } catch (error) {
      bus.close();
      throw error;
    }
  }

  get isOpen(): boolean {
    return this.#bus.isOpen;
  }

  get ended(): Promise<never> {
    return this.#bus.ended;
  }

  close(): void {
    this.#bus.close();
  }

  /** Makes unit files outside of the search path known, until the next boot. Absolute paths. */
  async linkUnitFiles(paths: readonly string[]): Promise<void> {
    await this.#manager("LinkUnitFiles", "asbb", [[...paths], true, true]);
  }

  /** Acts on [Install], until the next boot. */
  async enableUnitFiles(names: readonly string[]): Promise<void> {
    await this.#manager("EnableUnitFiles", "asbb", [[...names], true, true]);
  }

  /** Undoes linking and enabling. */
  async disableUnitFiles(names: readonly string[]): Promise<void> {
    await this.#manager("DisableUnitFiles", "asb", [[...names], true]);
  }

  /** daemon-reload. */
  async reload(): Promise<void> {
    await this.#manager("Reload");
  }

  async resetFailedUnit(name: string): Promise<void> {
    await this.#manager("ResetFailedUnit", "s", [name]);
  }

  /** Starts or stops a unit, replacing a job that is in the way, and waits for the job's end. */
  async job(method: "StartUnit" | "StopUnit", name: string): Promise<JobResult> {
    this.#asking++;
    let path: string;
    try {
      [path] = await this.#manager<[string]>(method, "ss", [name, "replace"]);
    } finally {
      this.#asking--;
    }
    const early = this.#early.get(path);
    if (this.#asking === 0) this.#early.clear(); // not before: two calls may have been given one job
    if (early !== undefined) return early;
    const waiter = this.#waiting.getOrInsertComputed(path, () => Promise.withResolvers<JobResult>());
    return await waiter.promise;
  }

  /** Statuses of units, in the order of the names. Units that systemd cannot find have the load state `not-found`. */
  async statuses(names: readonly string[]): Promise<UnitStatus[]> {
    if (names.length === 0) return [];
    const [rows] = await this.#manager<[readonly (readonly unknown[])[]]>("ListUnitsByNames", "as", [[...names]]);
    const byName = new Map(rows.map((row) => [String(row[0]), row] as const));
    return await Promise.all(
      names.map(async (name) => {
        const row = byName.get(name);
        return {
          name,
          loadState: (row?.[2] ?? "not-found") as LoadState,
          activeState: (row?.[3] ?? "inactive") as UnitStatus["activeState"],
          subState: typeof row?.[4] === "string" ? row[4] : "dead",
          ...(row === undefined ? {} : await this.#details(name)),
        };
      }),
    );
  }

  async #details(name: string): Promise<Partial<UnitStatus>> {
    const get = (interface_: string, property: string) => this.#property(unitPath(name), interface_, property);
    const isService = name.endsWith(".service");
    const [invocation, mainPid, result, code, status] = await Promise.all([
      get(UNIT, "InvocationID"),
      ...(isService ? ["MainPID", "Result", "ExecMainCode", "ExecMainStatus"].map((p) => get(SERVICE, p)) : []),
    ]);
    const id = isBytes(invocation) ? Buffer.from(invocation).toString("hex") : "";
    return {
      ...(id === "" ? {} : { invocationId: id }),
      ...(typeof mainPid === "number" && mainPid > 0 ? { mainPid } : {}),
      ...(typeof result === "string" ? { result } : {}),
      ...(typeof status === "number" && code !== 0 ? { execMainStatus: status } : {}),
    };
  }

  async #property(path: string, interface_: string, name: string): Promise<unknown> {
    const [value] = await this.#bus.call<[unknown]>({
      destination: SYSTEMD,
      path,
      interface: PROPERTIES,
      member: "Get",
      signature: "ss",
      body: [interface_, name],
    });
    return value instanceof Variant ? value.value : undefined;
  }

  async #manager<T extends readonly unknown[]>(
    member: string,
    signature = "",
    body: readonly unknown[] = [],
  ): Promise<T> {
    return await this.#bus.call<T>({
      destination: SYSTEMD,
      path: MANAGER_PATH,
      interface: MANAGER,
      member,
      signature,
      body,
    });
  }

  #onSignal(signal: BusSignal, events: SystemdEvents): void {
    if (signal.interface === PROPERTIES) return events.onUnitPath(signal.path);
    if (signal.member === "NameOwnerChanged" && signal.body[0] === SYSTEMD && signal.body[2] !== "") {
      // A systemd that executed itself anew keeps its jobs and subscribers; one that crashed does not.
      void this.#manager("Subscribe").catch(() => {});
      return events.onRestart();
    }
    if (signal.interface !== MANAGER) return;
    if (signal.member === "JobRemoved") return this.#onJobRemoved(String(signal.body[1]), String(signal.body[3]));
    if (signal.member === "UnitNew" || signal.member === "UnitRemoved") events.onUnitPath(String(signal.body[1]));
  }

  #onJobRemoved(path: string, text: string): void {
    const result = jobResult(text);
    const waiter = this.#waiting.get(path);
    if (waiter !== undefined) {
      this.#waiting.delete(path);
      waiter.resolve(result);
    } else if (this.#asking > 0) this.#early.set(path, result);
  }
}

/** systemd has a few more words for "failed": invalid, assert, unsupported, collected, once. */
function jobResult(text: string): JobResult {
  switch (text) {
    case "done":
    case "canceled":
    case "timeout":
    case "dependency":
    case "skipped":
      return text;
    default:
      return "failed";
  }
}

function isBytes(value: unknown): value is readonly number[] | Uint8Array {
  return value instanceof Uint8Array || (Array.isArray(value) && value.every((byte) => typeof byte === "number"));
}
