import { type Clock, type Logger, type MachineId, type Revision } from "@keelson/types";
import type { Decision, Plan } from "../core/model.ts";
import { reconcile } from "../core/reconcile.ts";
import { SessionLostError, StoreUnavailableError } from "../errors.ts";
import { Metrics } from "../metrics.ts";
import type { Registry } from "../registry/registry.ts";
import type { Condition, FleetStore, Leadership, StoreSession, Write } from "../store/port.ts";
import { aborted, Backoff, delay, Signal } from "../time.ts";
import { VERSION } from "../version.ts";

/** Options of {@link Engine}. */
export interface EngineOptions {
  readonly store: FleetStore;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly machineId: MachineId;
  /** How long a dead leader leads on, and how long after an outage absent machines count as alive. Default 4 s. */
  readonly ttlMs?: number;
  readonly metrics?: Metrics;
}

/** So many units are changed in one transaction; each takes three conditions at most. */
const BATCH_UNITS = 40;
/** Changes that arrive within this time are decided on together. */
const DEBOUNCE_MS = 5;

/**
 * Places units while it is the elected leader of all engines. Everything it writes is conditional on its own election
 * key, so that an engine that was deposed without noticing changes nothing.
 */
export class Engine {
  readonly #options: Required<EngineOptions>;
  #leadership: Leadership | undefined;
  #leaderSinceMs = 0;
  #waitingUnits = 0;
  /** Before this time, absent machines may only have been unable to reach the store, as we were. */
  #settledAtMs = 0;

  constructor(options: EngineOptions) {
    this.#options = { ttlMs: 4_000, metrics: new Metrics(), ...options };
    this.#options.metrics.gauge(
      "fleet_engine_waiting_units",
      "Units that no machine fits, as of the last round.",
      () => (this.#leadership === undefined ? 0 : this.#waitingUnits),
    );
    this.#options.metrics.gauge(
      "fleet_engine_leader_start_time",
      "Start of this leadership, 0 when not leading.",
      () => (this.#leadership === undefined ? 0 : this.#leaderSinceMs / 1_000),
    );
  }

  get isLeader(): boolean {
    return this.#leadership !== undefined;
  }

  /** Stands for election, leads when elected, and again, until the signal aborts; then gives up the leadership at once. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, clock, logger, ttlMs } = this.#options;
    const backoff = new Backoff(clock, 200, 2_000);
    let contactMs = clock.monotonicMs();
    let session: StoreSession | undefined;
    while (!signal.aborted) {
      try {
        session ??= await store.openSession(ttlMs);
        contactMs = clock.monotonicMs();
        backoff.reset();
        await this.#stand(session, signal);
      } catch (error) {
        if (signal.aborted) break;
        if (!(error instanceof StoreUnavailableError) && !(error instanceof SessionLostError)) throw error;
        logger.warn("engine cannot reach the store or was deposed; units stay where they are", { error });
        // A live session is contact within its time; a store that merely changes its leader is no outage.
        if (session !== undefined && !session.lost.aborted) contactMs = clock.monotonicMs();
        else if (session !== undefined || clock.monotonicMs() - contactMs >= ttlMs) {
          this.#settledAtMs = Number.POSITIVE_INFINITY;
        }
        await backoff.wait(signal);
      } finally {
        this.#leadership = undefined;
        if (session?.lost.aborted === true || signal.aborted) {
          await session?.close({ revoke: true });
          session = undefined;
        }
      }
    }
  }

  async #stand(session: StoreSession, signal: AbortSignal): Promise<void> {
    const { store, registry, clock, logger, machineId, ttlMs } = this.#options;
    const value = JSON.stringify({ MachineID: machineId, Version: VERSION });
    const leadership = await store.campaign(session, registry.keys.engineElection, value, signal);
    // What the former leader wrote last must be seen before anything is decided.
    await registry.sync();
    this.#leadership = leadership;
    this.#leaderSinceMs = clock.wallMs();
    if (this.#settledAtMs === Number.POSITIVE_INFINITY) this.#settledAtMs = clock.monotonicMs() + ttlMs;
    logger.info("engine leads", { machineId });
    const end = AbortSignal.any([signal, session.lost]);
    await this.#lead(leadership, end);
    if (!signal.aborted) throw new SessionLostError("engine's lease has ended");
  }

  async #lead(leadership: Leadership, end: AbortSignal): Promise<void> {
    const { registry, clock } = this.#options;
    const changed = new Signal();
    using _ = registry.subscribe((topics) => topics.has("schedule") && changed.raise());
    const unsettledMs = this.#settledAtMs - clock.monotonicMs();
    using _later = clock.after(Math.max(0, unsettledMs), () => changed.raise());
    changed.raise();
    while (!end.aborted) {
      await changed.wait(end);
      await delay(clock, DEBOUNCE_MS, end);
      if (end.aborted) return;
      const isDone = await Promise.race([this.#round(leadership), aborted(end).then(() => true)]);
      if (!isDone) changed.raise();
    }
  }

  /** Decides and writes once. False: something had changed meanwhile; decide again. */
  async #round(leadership: Leadership): Promise<boolean> {
    const { registry, clock, metrics } = this.#options;
    const startMs = clock.monotonicMs();
    const view = { ...registry.view.cluster(), isSettled: startMs >= this.#settledAtMs };
    const plan = reconcile(view);
    metrics.count("fleet_engine_reconcile_count_total");
    this.#waitingUnits = plan.waiting.size;
    this.#countReasons(plan);
    const changes = this.#changes(plan);
    let lastRevision: Revision = 0;
    let isDone = true;
    for (let i = 0; i < changes.length; i += BATCH_UNITS) {
      const batch = changes.slice(i, i + BATCH_UNITS);
      const revision = (await this.#write(leadership, batch)) ?? (await this.#writeEach(leadership, batch));
      if (revision === undefined) isDone = false;
      else lastRevision = revision;
    }
    await this.#collectGarbage(leadership);
    // The next round must see this one's writes, or it would decide on them again.
    if (!isDone) await this.#checkLeadership(leadership);
    if (!isDone || (lastRevision > 0 && !(await registry.waitFor(lastRevision, 1_000)))) await registry.sync();
    metrics.observe("fleet_engine_reconcile_duration_second", (clock.monotonicMs() - startMs) / 1_000);
    return isDone;
  }

  /** Removes texts that lost their last user. Whoever starts to use one writes it, which makes the condition fail. */
  async #collectGarbage(leadership: Leadership): Promise<void> {
    const { store, registry } = this.#options;
    for (const { hash, modRevision } of registry.view.unusedBlobs()) {
      const key = registry.keys.unit(hash);
      await store.commit([leadership, { key, modRevision }], [{ type: "delete", key }]);
    }
  }

  /** A refused write may mean that we were deposed. @throws SessionLostError */
  async #checkLeadership({ key, createRevision }: Leadership): Promise<void> {
    const { entries } = await this.#options.store.read(key);
    if (entries.some((entry) => entry.key === key && entry.createRevision === createRevision)) return;
    throw new SessionLostError("engine is no longer the leader");
  }

  /** What each unit of the plan needs written: its target, and the reason why it waits. */
  #changes(plan: Plan): Change[] {
    const { view } = this.#options.registry;
    const decisions = new Map(plan.decisions.map((decision) => [decision.unit, decision]));
    const changes: Change[] = [];
    for (const unit of view.eachUnit()) {
      const decision = decisions.get(unit.name);
      const why = plan.waiting.get(unit.name);
      const isSame = unit.why === why;
      if (decision === undefined && isSame) continue;
      changes.push({
        unit: unit.name,
        createRevision: unit.createRevision,
        targetRevision: unit.targetRevision,
        ...(decision === undefined ? {} : { decision }),
        ...(isSame ? {} : { why: why ?? null }),
      });
    }
    return changes;
  }

  async #write(leadership: Leadership, batch: readonly Change[]): Promise<Revision | undefined> {
    const { store, registry, logger, metrics } = this.#options;
    const { keys } = registry;
    const conditions: Condition[] = [{ key: leadership.key, createRevision: leadership.createRevision }];
    const writes: Write[] = [];
    for (const { unit, createRevision, targetRevision, decision, why } of batch) {
      conditions.push({ key: keys.jobObject(unit), createRevision });
      if (decision !== undefined) {
        const key = keys.target(unit);
        conditions.push({ key, modRevision: targetRevision });
        writes.push(decision.to === undefined ? { type: "delete", key } : { type: "put", key, value: decision.to });
      }
      const key = keys.why(unit);
      if (why === null) writes.push({ type: "delete", key });
      else if (why !== undefined) writes.push({ type: "put", key, value: why });
    }
    const { isCommitted, revision } = await store.commit(conditions, writes);
    if (!isCommitted) return undefined;
    for (const { decision } of batch) {
      if (decision === undefined) continue;
      const type = decision.to === undefined ? "UnscheduleUnit" : "AttemptScheduleUnit";
      metrics.count("fleet_engine_task_count_total", { type });
      logger.info("engine decided", { ...decision });
    }
    return revision;
  }

  /** One stale unit fails its whole batch: find the others. Undefined: at least one was stale. */
  async #writeEach(leadership: Leadership, batch: readonly Change[]): Promise<Revision | undefined> {
    let last: Revision | undefined = 0;
    for (const change of batch) {
      const revision = await this.#write(leadership, [change]);
      if (revision === undefined) {
        last = undefined;
        this.#options.metrics.count("fleet_engine_task_failure_count_total", { type: "AttemptScheduleUnit" });
      } else if (last !== undefined) last = revision;
    }
    return last;
  }

  #countReasons(plan: Plan): void {
    const { metrics } = this.#options;
    const count = (type: string, by: number) => {
      if (by > 0) metrics.count("fleet_engine_reconcile_failure_count_total", { type }, by);
    };
    count("machine_away", plan.decisions.filter(({ reason }) => reason.endsWith("went away")).length);
    count("run_failure", plan.decisions.filter(({ reason }) => reason.includes("unable to run unit")).length);
    count("schedule_failure", plan.waiting.size);
  }
}

interface Change {
  readonly unit: string;
  readonly createRevision: Revision;
  readonly targetRevision: Revision;
  readonly decision?: Decision;
  /** The new reason to wait; null removes it; absent leaves it. */
  readonly why?: string | null;
}
