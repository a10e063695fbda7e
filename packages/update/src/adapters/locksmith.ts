import type { CoordinatorState, LockStore, RebootCoordinator, RebootPermit } from "@keelson/locksmith";
import { UpdatePortError } from "../errors.ts";
import type { LockWait, RebootLock, RolloutBoard } from "../ports.ts";

const RELEASE_MS = 60_000;

/**
 * locksmith's coordinators as this machine's reboot lock: one that waits for the window and one that does not, over the same
 * semaphore, so that either finds the hold of the other.
 */
export class LocksmithLock implements RebootLock {
  readonly #make: (onState: (state: CoordinatorState) => void, options: { window: boolean }) => RebootCoordinator;
  #coordinator: RebootCoordinator;
  #isWindowed = true;
  #permit: RebootPermit | undefined;
  #onWait: ((wait: LockWait) => void) | undefined;
  readonly #listeners: ((reason: string) => void)[] = [];

  constructor(make: (onState: (state: CoordinatorState) => void, options: { window: boolean }) => RebootCoordinator) {
    this.#make = make;
    this.#coordinator = make((state) => this.#tell(state), { window: true });
  }

  async acquire(options: {
    readonly ignoreWindow: boolean;
    readonly version: string;
    readonly signal: AbortSignal;
    readonly onWait: (wait: LockWait) => void;
  }): Promise<void> {
    const { ignoreWindow, version, signal, onWait } = options;
    if (ignoreWindow === this.#isWindowed) {
      this.#isWindowed = !ignoreWindow;
      this.#coordinator.hold?.letGo();
      this.#coordinator = this.#make((state) => this.#tell(state), { window: this.#isWindowed });
    }
    this.#onWait = onWait;
    try {
      const permit = await this.#coordinator.acquire(signal, { version, reason: "update" });
      this.#permit = permit;
      this.#watch(permit);
    } catch (error) {
      if ((error as { code?: unknown } | null)?.code !== "ERR_STRATEGY_OFF") throw error;
      // All is on disk, and an operator reboots when it suits him.
      onWait({ what: "lock", note: "the reboot strategy is off" });
      await aborted(signal);
      throw error;
    } finally {
      this.#onWait = undefined;
    }
  }

  async resume(signal: AbortSignal): Promise<boolean> {
    return (await this.#coordinator.resume(signal)) !== undefined;
  }

  async release(): Promise<void> {
    this.#permit = undefined;
    await this.#coordinator.release(AbortSignal.timeout(RELEASE_MS));
  }

  async confirm(signal: AbortSignal): Promise<void> {
    const permit = this.#permit;
    if (permit === undefined) throw new UpdatePortError("there is no permission to reboot");
    await permit.confirm(signal);
    // All of the lease's time is left for the reboot from here on.
    permit.hold?.letGo();
  }

  onLost(listener: (reason: string) => void): void {
    this.#listeners.push(listener);
  }

  #watch(permit: RebootPermit): void {
    permit.hold?.lost.addEventListener("abort", () => {
      if (this.#permit !== permit) return;
      this.#permit = undefined;
      for (const listener of this.#listeners) listener("its lease has ended");
    });
  }

  #tell({ phase, reason }: CoordinatorState): void {
    const what = phase === "waiting-for-window" ? "window" : "lock";
    if (phase !== "waiting-for-window" && phase !== "waiting-for-lock" && phase !== "checking") return;
    this.#onWait?.({ what, ...(reason === "" ? {} : { note: reason }) });
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** Denials in etcd, by locksmith's keys. */
export function locksmithBoard(store: () => Promise<LockStore>): RolloutBoard {
  return {
    denials: async (signal) => {
      const { deniedVersions } = await import("@keelson/locksmith");
      const found = await deniedVersions(await store(), signal);
      return [...found.values()].map(({ version, reason, by, atMs }) => ({
        version,
        commit: "",
        reason,
        machine: by,
        at: Math.max(0, Math.floor(atMs / 1_000)),
      }));
    },
    deny: async ({ version, reason, machine, at }) => {
      const { deny } = await import("@keelson/locksmith");
      await deny(await store(), { version, reason, by: machine, atMs: at * 1_000 });
    },
  };
}

/** Of a machine that shares nothing with others. */
export const NO_BOARD: RolloutBoard = {
  denials: async () => [],
  deny: async () => {},
};
