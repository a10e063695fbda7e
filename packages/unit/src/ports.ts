import type { UnitName } from "@keelson/types";

/** A unit file as it is given to a {@link UnitManager}. */
export interface UnitFile {
  /** The unit's full name: `web.service`, `web@1.service`, or a template such as `web@.service`. */
  readonly name: UnitName;
  /** The whole text of the file. */
  readonly content: string;
}

/** How a start or stop job ended. Source: org.freedesktop.systemd1(5), signal JobRemoved. */
export type JobResult = "done" | "canceled" | "timeout" | "failed" | "dependency" | "skipped";

/** Source: `systemctl --state=help`, "unit load states". */
export type LoadState = "stub" | "loaded" | "not-found" | "bad-setting" | "error" | "merged" | "masked";

/** Source: `systemctl --state=help`, "unit active states" (the newest two never occur for services). */
export type ActiveState =
  | "active"
  | "reloading"
  | "inactive"
  | "failed"
  | "activating"
  | "deactivating"
  | "maintenance"
  | "refreshing";

/** What a unit manager knows about one unit. Source: org.freedesktop.systemd1(5), Unit and Service objects. */
export interface UnitStatus {
  readonly name: UnitName;
  readonly loadState: LoadState;
  readonly activeState: ActiveState;
  /** The state of the unit's type, such as `running`, `exited`, `dead`, `auto-restart`, `start-pre`, `stop-sigterm`. */
  readonly subState: string;
  /** The main process; absent when none runs. */
  readonly mainPid?: number;
  /** 32 hex digits, new with every start; absent before the first one. */
  readonly invocationId?: string;
  /** The service's result: `success`, `exit-code`, `signal`, `timeout`, `start-limit-hit`, `protocol`, `resources`… */
  readonly result?: string;
  /** Exit code, or the signal's number, of the main process when it last ended. */
  readonly execMainStatus?: number;
  /** Settings that the manager read and does not honour, one sentence each. Absent when there are none. */
  readonly warnings?: readonly string[];
}

/** Options of {@link UnitManager.start} and {@link UnitManager.stop}. */
export interface JobOptions {
  /** Ends the wait for the job (the promise rejects with the signal's reason), not the job itself. */
  readonly signal?: AbortSignal;
}

/** Options of {@link UnitManager.journal}. */
export interface JournalOptions {
  /** At most so many of the newest lines are given first; 0 gives none. At most 10,000. */
  readonly lines: number;
  /** Keep waiting for further lines until `signal` aborts or the iterator is returned. Default false. */
  readonly follow?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * What the fleet agent needs from a service manager.
 *
 * A manager knows the units that were loaded through it, also those loaded by an earlier process over the same directory
 * (they are adopted). Every method is safe to call concurrently. Methods on names that were never loaded throw
 * `UnitNotLoadedError`, except `content` (undefined), `status` (`not-found`) and `unload` (nothing happens).
 */
export interface UnitManager extends AsyncDisposable {
  /**
   * Writes the unit files and makes the manager read them. A changed file takes effect at the unit's next start and
   * leaves running processes alone. All or nothing: a name or file that cannot be parsed throws and changes nothing.
   */
  load(units: readonly UnitFile[]): Promise<void>;
  /** Forgets units: removes their files and failed states. A unit that still runs is left running; stop it first. */
  unload(names: readonly UnitName[]): Promise<void>;
  /**
   * Starts a unit and waits for its job. Starting a unit that is active is a no-op with the result `done`. Expected
   * failures of the unit itself are results, not errors.
   */
  start(name: UnitName, options?: JobOptions): Promise<JobResult>;
  /** Stops a unit and waits for its job. Stopping an inactive unit gives `done`. */
  stop(name: UnitName, options?: JobOptions): Promise<JobResult>;
  /** Statuses of all loaded units, sorted by name; templates, which cannot run, are left out. */
  list(): Promise<UnitStatus[]>;
  /** The unit file's text, byte for byte as loaded; undefined when no such unit is loaded. */
  content(name: UnitName): Promise<string | undefined>;
  /** One unit's status; `loadState` is `not-found` when no such unit is loaded. */
  status(name: UnitName): Promise<UnitStatus>;
  /** Calls `fn` after each change of a loaded unit's status until disposed. No call for the state at subscription. */
  subscribe(fn: (status: UnitStatus) => void): Disposable;
  /** The unit's output, oldest first, one line per item, without line ends. */
  journal(name: UnitName, options: JournalOptions): AsyncIterable<string>;
  /** Lets go of the manager. Units keep running where the manager outlives its clients (systemd, a served manager). */
  [Symbol.asyncDispose](): Promise<void>;
}
