import {
  EtcdMembers,
  formatGoDuration,
  RebootCoordinator,
  type RebootPermit,
  Semaphore,
  windowAt,
} from "@keelson/locksmith";
import type { Clock, Logger } from "@keelson/types";
import type { Connection } from "../connect.ts";
import type { RebootMode } from "../systemd.ts";
import { broadcast } from "./broadcast.ts";
import type { DaemonConfig } from "./config.ts";
import type { CoordinatorFile, CoordinatorFileState } from "./coordinator-file.ts";
import { needReboot, versionIn } from "./need-reboot.ts";

/** What the daemon does to its machine; tests have their own. */
export interface Machine {
  readonly id: string;
  readonly name: string;
  systemState(signal: AbortSignal): Promise<string>;
  loginTerminals(signal: AbortSignal): Promise<readonly string[]>;
  reboot(mode: RebootMode, signal: AbortSignal): Promise<void>;
}

export interface DaemonOptions {
  readonly config: DaemonConfig;
  readonly connection: Connection;
  readonly machine: Machine;
  readonly file: CoordinatorFile;
  readonly clock: Clock;
  readonly logger: Logger;
}

const HEALTH_MS = 1_000;
const RETRY_MS = 10_000;
/** After a reboot was ordered: upstream sleeps a week. The machine is long gone by then. */
const GONE_MS = 7 * 86_400_000;

/** locksmithd without the agent of updates: gives the lock of the last reboot back, waits for the next, and carries it out. */
export class Daemon {
  readonly #options: DaemonOptions;
  readonly #coordinator: RebootCoordinator;

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.#coordinator = makeCoordinator(options);
  }

  /** Runs until the signal aborts. @throws its reason */
  async run(signal: AbortSignal): Promise<void> {
    const { config, logger } = this.#options;
    this.#logWindow();
    await this.#state("starting");
    const finish = this.#finishLastReboot(signal);
    finish.catch(() => {}); // awaited below; it may fail before
    await this.#state("running");
    logger.info("locksmithd is running", { strategy: config.strategy });
    await needReboot(config.etcd.needRebootFile, signal);
    await finish;
    await this.#state("reboot-planned");
    for (;;) {
      const version = versionIn(config.etcd.needRebootFile);
      const permit = await this.#coordinator.acquire(signal, { version, reason: "need-reboot" });
      if (await this.#reboot(permit, signal)) return;
      await this.#coordinator.release(signal);
      await this.#pause(RETRY_MS, signal);
    }
  }

  /** The lock is kept until the machine is well again; that it wants to reboot once more does not matter (Flatcar#408). */
  async #finishLastReboot(signal: AbortSignal): Promise<void> {
    const { logger, machine, config } = this.#options;
    if (config.strategy === "reboot" || config.strategy === "off") return;
    if ((await this.#coordinator.resume(signal)) === undefined) return;
    for (let before = ""; ; ) {
      const state = await machine.systemState(signal);
      if (config.healthyStates.includes(state)) break;
      if (state !== before) logger.info("the reboot lock is kept until the system runs", { state });
      before = state;
      await this.#pause(HEALTH_MS, signal);
    }
    await this.#coordinator.release(signal);
    logger.info("Unlocked existing lock for this machine");
  }

  /** False when the machine may not go down after all, or does not. */
  async #reboot(permit: RebootPermit, signal: AbortSignal): Promise<boolean> {
    const { logger } = this.#options;
    try {
      await this.#warnPeople(signal);
      await permit.confirm(signal);
      await this.#order(permit, signal);
    } catch (error) {
      signal.throwIfAborted();
      logger.error("the reboot is put off", { error });
      return false;
    }
    await this.#state("rebooting");
    logger.info("Reboot sent. Going to sleep.");
    permit.hold?.letGo();
    await this.#pause(GONE_MS, signal);
    return true;
  }

  async #warnPeople(signal: AbortSignal): Promise<void> {
    const { config, machine, logger, clock } = this.#options;
    const terminals = await machine.loginTerminals(signal);
    if (terminals.length === 0 || config.loginDelayMs === 0) return;
    const minutes = Math.ceil(config.loginDelayMs / 60_000);
    const at = new Date(clock.wallMs()).toISOString();
    if ((await broadcast(terminals, `System reboot in ${minutes} minutes!`, at)) === 0) return;
    logger.info(`Logins detected, delaying reboot for ${minutes} minutes.`);
    await this.#pause(config.loginDelayMs, signal);
  }

  /** Inhibitor locks are respected, but not for ever. */
  async #order(permit: RebootPermit, signal: AbortSignal): Promise<void> {
    const { machine, config, clock, logger } = this.#options;
    const endMs = clock.monotonicMs() + config.inhibitMaxMs;
    for (;;) {
      const isEnough = clock.monotonicMs() >= endMs;
      try {
        return await machine.reboot(isEnough ? "force" : "ask", signal);
      } catch (error) {
        if (isEnough) throw error;
        logger.warn("the reboot is held up", { error });
      }
      await this.#pause(Math.min(RETRY_MS, Math.max(0, endMs - clock.monotonicMs())), signal);
      await permit.confirm(signal);
    }
  }

  #logWindow(): void {
    const { config, clock, logger } = this.#options;
    if (config.window === undefined) return logger.info("No configured reboot window");
    const { window, start, length } = config.window;
    logger.info(`Reboot window start is ${JSON.stringify(start)} and length is ${JSON.stringify(length)}`);
    const { opensAtMs, closesAtMs } = windowAt(window, clock.wallMs());
    const iso = (ms: number) => new Date(ms).toISOString();
    logger.info(`Next window begins at ${iso(opensAtMs)} and ends at ${iso(closesAtMs)}`, {
      zone: window.zone.name,
      jitter: formatGoDuration(config.jitterSpanMs),
    });
  }

  async #state(state: CoordinatorFileState): Promise<void> {
    await this.#options.file.write(state).catch((error: unknown) => {
      this.#options.logger.error("could not update the state file", { state, error });
    });
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    using _timer = this.#options.clock.after(ms, resolve);
    const stop = () => resolve();
    signal.addEventListener("abort", stop, { once: true });
    await promise;
    signal.removeEventListener("abort", stop);
    signal.throwIfAborted();
  }
}

/** The strategy `off` has one too: what was held before is still to be given back. */
export function makeCoordinator({ config, connection, machine, clock, logger }: DaemonOptions): RebootCoordinator {
  const { store, client, connect } = connection;
  const { strategy, etcd, lockTtlMs, mayLoseQuorum, jitterSpanMs, window } = config;
  const semaphore = new Semaphore({ store, group: etcd.group, holdTtlMs: lockTtlMs, clock, logger });
  const quorum = new EtcdMembers({ client, connect, selfName: machine.name, selfEndpoint: etcd.endpoints[0] });
  return new RebootCoordinator({
    strategy,
    id: machine.id,
    machine: machine.name,
    mayLoseQuorum,
    jitterSpanMs,
    clock,
    logger,
    ...(window === undefined ? {} : { window: window.window }),
    // `reboot` does without etcd altogether, as upstream.
    ...(strategy === "reboot" ? {} : { semaphore, quorum }),
  });
}
