import { CALM_LINK, type Prng, ROUGH_LINK, type SimClock, type SimNetwork, type Trace } from "@keelson/testkit";
import type { MemberId } from "@keelson/types";
import type { SimMember } from "./sim-member.ts";
import type { Packet } from "./sim-transport.ts";

export interface FaultsOptions {
  readonly members: readonly SimMember[];
  readonly network: SimNetwork<MemberId, Packet>;
  readonly clock: SimClock;
  readonly rng: Prng;
  readonly trace: Trace;
  /** The longest pause between two harms. */
  readonly paceMs: number;
  /** Called with what a member threw at its start: a disk that it refuses is a finding. */
  readonly onRefusedDisk: (member: SimMember, error: unknown) => void;
}

/** Does harm to a cluster at random moments until told to heal. */
export class SimFaults {
  readonly #options: FaultsOptions;
  #healing = false;

  constructor(options: FaultsOptions) {
    this.#options = options;
    void this.#loop();
  }

  /** Ends all faults: every member runs, every link is calm. */
  heal(): void {
    const { members, network } = this.#options;
    this.#healing = true;
    this.#trace("heal", {});
    network.heal();
    network.setLink(CALM_LINK);
    for (const member of members) {
      this.#resume(member);
      if (!member.isUp) this.#start(member);
    }
  }

  async #loop(): Promise<void> {
    const { clock, rng, paceMs } = this.#options;
    for (;;) {
      await clock.sleep(rng.between(20, paceMs));
      if (this.#healing) return;
      this.#harm();
    }
  }

  #harm(): void {
    const { members, rng, network } = this.#options;
    const roll = rng.float();
    const member = rng.pick(members);
    if (roll < 0.3) {
      if (member.isUp) this.#crash(member);
      else this.#start(member);
    } else if (roll < 0.36) {
      // The power of all of them: only what was synced counts.
      for (const each of members) if (each.isUp) this.#crash(each, 1);
    } else if (roll < 0.5) {
      for (const each of members) if (!each.isUp) this.#start(each);
    } else if (roll < 0.62) this.#partition();
    else if (roll < 0.75) network.heal();
    else if (roll < 0.83) network.setLink(rng.chance(0.5) ? ROUGH_LINK : CALM_LINK);
    else if (roll < 0.92) this.#pause(member);
    else member.view?.setDrift(rng.between(-50_000, 50_000));
  }

  #crash(member: SimMember, powerChance = 0.7): void {
    this.#resume(member);
    if (this.#options.rng.chance(powerChance)) member.cutPower();
    else member.killProcess();
  }

  #partition(): void {
    const { members, network, rng } = this.#options;
    const ids = rng.shuffle(members.map((member) => member.id));
    const [alone] = ids;
    const others = ids.slice(1);
    if (alone === undefined) return;
    if (rng.chance(0.7)) network.partition([alone], others);
    else {
      for (const other of others) {
        if (rng.chance(0.5)) network.cut(alone, other);
        else network.cut(other, alone);
      }
    }
    this.#trace("partition", { alone });
  }

  #pause(member: SimMember): void {
    const { clock, network, rng } = this.#options;
    if (!member.isUp) return;
    member.view?.pause();
    network.pause(member.id);
    this.#trace("pause", { member: member.name });
    const view = member.view;
    clock.after(rng.between(100, 4_000), () => {
      if (member.view === view) this.#resume(member);
    });
  }

  #resume(member: SimMember): void {
    member.view?.resume();
    this.#options.network.resume(member.id);
  }

  /** Not waited for: a member may die while it starts. */
  #start(member: SimMember): void {
    member.start().catch((error: unknown) => this.#options.onRefusedDisk(member, error));
  }

  #trace(type: string, fields: Readonly<Record<string, unknown>>): void {
    this.#options.trace.add({ t: this.#options.clock.monotonicMs(), type, ...fields });
  }
}
