import type { SimClockView } from "@keelson/testkit";
import { RebootCoordinator, type RebootPermit } from "../coordinator.ts";
import { LocksmithError } from "../core/errors.ts";
import type { Hold } from "../hold.ts";
import { StoreUnavailableError } from "../store/port.ts";
import { HOLD_TTL_MS, type SimCluster } from "./sim-cluster.ts";
import { SERVER } from "./sim-store.ts";

/** One life of a machine, from boot to its end. */
interface Life {
  readonly clock: SimClockView;
  readonly coordinator: RebootCoordinator;
  readonly close: () => void;
}

/** A machine that reboots again and again, as the update agent would: take the lock, go down, come back, be well, give it back. */
export class SimMachine {
  readonly id: string;
  readonly #cluster: SimCluster;
  #life: Life | undefined;
  #isPaused = false;
  /** When it last stopped being well by a fault, not by our permission. */
  #lastFaultMs = Number.NEGATIVE_INFINITY;
  #rebootsSinceHeal = 0;
  #isHealed = false;
  #isDownByPermission = false;

  constructor(cluster: SimCluster, id: string) {
    this.#cluster = cluster;
    this.id = id;
  }

  get isUp(): boolean {
    return this.#life !== undefined;
  }

  /** Its member of etcd, if it has one, takes part. */
  get isWell(): boolean {
    return this.isUp && !this.#isPaused && !this.#cluster.isCut(this.id);
  }

  /** What it believes to hold. */
  get belief(): Hold | undefined {
    return this.#life?.coordinator.hold;
  }

  /** Nobody may take its slot as long as its lease runs. */
  get isEntitled(): boolean {
    return this.belief !== undefined || this.#isDownByPermission;
  }

  /** It has got the lock and rebooted since everything is well. */
  get isDone(): boolean {
    return this.#rebootsSinceHeal > 0;
  }

  crash(downMs: number): void {
    if (!this.isUp) return;
    this.#cluster.log("crash", { id: this.id, downMs });
    this.#fault();
    this.#end(downMs);
  }

  pauseFor(ms: number): void {
    const life = this.#life;
    if (life === undefined || this.#isPaused) return;
    this.#cluster.log("pause", { id: this.id, ms });
    this.#fault();
    this.#isPaused = true;
    life.clock.pause();
    this.#cluster.network.pause(this.id);
    this.#cluster.clock.after(ms, () => life === this.#life && this.#resume());
    this.#cluster.onMachineChange();
  }

  cutFor(ms: number, way: "both" | "to" | "from"): void {
    this.#cluster.log("cut", { id: this.id, ms, way });
    this.#fault();
    const { network } = this.#cluster;
    if (way !== "from") network.cut(this.id, SERVER);
    if (way !== "to") network.cut(SERVER, this.id);
    this.#cluster.clock.after(ms, () => {
      network.mend(this.id, SERVER);
      network.mend(SERVER, this.id);
      this.#cluster.onMachineChange();
    });
    this.#cluster.onMachineChange();
  }

  heal(): void {
    this.#isHealed = true;
    if (this.#isPaused) this.#resume();
    if (!this.isUp) this.boot();
  }

  #resume(): void {
    this.#isPaused = false;
    this.#life?.clock.resume();
    this.#cluster.network.resume(this.id);
    this.#cluster.onMachineChange();
  }

  #fault(): void {
    if (this.isWell) this.#lastFaultMs = this.#cluster.clock.monotonicMs();
  }

  boot(): void {
    const cluster = this.#cluster;
    const { rng } = cluster;
    const clock = cluster.clock.view({ driftPpm: rng.between(-500, 500), offsetMs: rng.between(-60_000, 60_000) });
    const { store, close } = cluster.store(this.id, clock);
    const coordinator = new RebootCoordinator({
      strategy: "etcd-lock",
      id: this.id,
      semaphore: cluster.semaphore(store, clock, this.id),
      quorum: { look: () => this.#look(clock) },
      clock,
      random: rng.fork(`${this.id} ${cluster.clock.eventsRun}`),
    });
    this.#life = { clock, coordinator, close };
    this.#isDownByPermission = false;
    cluster.onMachineChange();
    void this.#live(this.#life).catch((error: unknown) => cluster.fail(`${this.id}: ${String(error)}`));
  }

  async #look(clock: SimClockView) {
    if (this.#cluster.isCut(this.id) || !this.#cluster.isServing) throw new StoreUnavailableError("no answer", false);
    const seen = this.#cluster.look(this);
    await new Promise<void>((resolve) => void clock.after(this.#cluster.rng.between(1, 2_000), resolve));
    return seen;
  }

  async #live(life: Life): Promise<void> {
    const { rng } = this.#cluster;
    const { clock, coordinator } = life;
    const sleep = (ms: number) => new Promise<void>((resolve) => void clock.after(ms, resolve));
    if ((await coordinator.resume()) !== undefined) {
      await sleep(this.#someTime(10_000)); // the health gate
      await coordinator.release();
    }
    for (;;) {
      await sleep(rng.between(1_000, 60_000));
      const stop = new AbortController();
      // Sometimes the update is called off.
      if (!this.#isHealed && rng.chance(0.2)) clock.after(rng.between(100, 60_000), () => this.#callOff(stop));
      try {
        const permit = await coordinator.acquire(stop.signal, { version: `v${rng.below(3)}` });
        await sleep(this.#someTime(3_000)); // units stop
        if (await this.#mayGoDown(permit)) return;
      } catch (error) {
        if (!stop.signal.aborted) throw error;
      }
      await coordinator.release();
    }
  }

  /** Mostly short, sometimes longer than a lease lasts. */
  #someTime(usualMs: number): number {
    const { rng } = this.#cluster;
    return !this.#isHealed && rng.chance(0.2) ? rng.between(0, 2 * HOLD_TTL_MS) : rng.between(0, usualMs);
  }

  /** Goes down if the lock is still held and etcd can spare it. */
  async #mayGoDown(permit: RebootPermit): Promise<boolean> {
    const { counts } = this.#cluster;
    for (let attempt = 0; attempt < 5; attempt++) {
      const askedAtMs = this.#cluster.clock.monotonicMs();
      try {
        await permit.confirm();
        this.#goDown(askedAtMs);
        return true;
      } catch (error) {
        if (error instanceof StoreUnavailableError) continue;
        if (!(error instanceof LocksmithError)) throw error;
        if (error.code === "ERR_QUORUM") counts.quorumRefusals++;
        return false;
      }
    }
    return false;
  }

  #callOff(stop: AbortController): void {
    if (this.#life?.coordinator.state.phase !== "ready") stop.abort(new Error("called off"));
  }

  #goDown(askedAtMs: number): void {
    const cluster = this.#cluster;
    cluster.log("reboot", { id: this.id });
    cluster.counts.reboots++;
    if (this.#isHealed) this.#rebootsSinceHeal++;
    if (this.belief === undefined) cluster.fail(`${this.id} goes down without believing to hold`);
    this.#checkQuorum(askedAtMs);
    this.#isDownByPermission = true;
    const life = this.#life;
    // Its member answers until it is stopped.
    cluster.clock.after(cluster.rng.between(0, 5_000), () => life === this.#life && this.#end(this.#downTimeMs()));
  }

  #downTimeMs(): number {
    const { rng } = this.#cluster;
    const isLate = !this.#isHealed && rng.chance(0.1);
    return isLate ? rng.between(HOLD_TTL_MS, 2 * HOLD_TTL_MS) : rng.between(3_000, 20_000);
  }

  #checkQuorum(askedAtMs: number): void {
    const { members, majority } = this.#cluster;
    if (!members.includes(this) || members.length === 1) return;
    // Who fell ill after we asked is not our fault.
    const staying = members.filter(
      (m) => m !== this && !m.#isDownByPermission && (m.isWell || m.#lastFaultMs >= askedAtMs),
    );
    if (staying.length >= majority) return;
    this.#cluster.fail(`${this.id} went down and left only ${staying.map(({ id }) => id).join(", ")} of etcd`);
  }

  #end(downMs: number): void {
    const life = this.#life;
    life?.clock[Symbol.dispose]();
    life?.close();
    this.#life = undefined;
    this.#isPaused = false;
    this.#cluster.onMachineChange();
    if (downMs === Number.POSITIVE_INFINITY) return;
    this.#cluster.clock.after(downMs, () => {
      if (!this.isUp) this.boot();
    });
  }
}
