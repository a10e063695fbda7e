import { destinationOf, sourceOf } from "./frames.ts";

/** Faults of the wire from one machine to another. */
export interface LinkFaults {
  /** Milliseconds that each frame is held back. */
  readonly delayMs?: number;
  /** Share of frames that are lost, 0 to 1. */
  readonly dropRate?: number;
}

/** Where the switch sends a frame: a port and how late. */
export interface Delivery {
  readonly port: string;
  readonly delayMs: number;
}

/**
 * The decisions of an Ethernet switch whose wires can be cut: it learns which address is behind which port, floods
 * what it does not know, and lets nothing across a partition. No I/O; the hub moves the bytes.
 */
export class Switch {
  readonly #ports = new Set<string>();
  readonly #addresses = new Map<string, string>();
  readonly #faults = new Map<string, LinkFaults>();
  #groups: ReadonlyMap<string, number> | undefined;
  readonly #random: () => number;

  /** `random` gives numbers from 0 up to 1; it decides which frames are lost. */
  constructor(random: () => number) {
    this.#random = random;
  }

  addPort(port: string): void {
    this.#ports.add(port);
  }

  removePort(port: string): void {
    this.#ports.delete(port);
    for (const [address, owner] of this.#addresses) if (owner === port) this.#addresses.delete(address);
  }

  /** Only ports of one group hear each other; who is in no group is together with the others of no group. */
  partition(groups: readonly (readonly string[])[]): void {
    this.#groups = new Map(groups.flatMap((names, i) => names.map((name) => [name, i] as const)));
  }

  heal(): void {
    this.#groups = undefined;
  }

  /** Sets the faults of one direction; `{}` ends them. */
  setFaults(from: string, to: string, faults: LinkFaults): void {
    this.#faults.set(`${from}>${to}`, faults);
  }

  /** What happens to a frame that came in at `from`. */
  forward(from: string, frame: Uint8Array): Delivery[] {
    this.#addresses.set(sourceOf(frame), from);
    const destination = destinationOf(frame);
    const known = destination === undefined ? undefined : this.#addresses.get(destination);
    const targets = known === undefined ? [...this.#ports] : [known];
    return targets.filter((port) => port !== from && this.#ports.has(port)).flatMap((port) => this.#link(from, port));
  }

  #link(from: string, port: string): Delivery[] {
    if (this.#groups !== undefined && this.#groups.get(from) !== this.#groups.get(port)) return [];
    const { delayMs = 0, dropRate = 0 } = this.#faults.get(`${from}>${port}`) ?? {};
    return dropRate > 0 && this.#random() < dropRate ? [] : [{ port, delayMs }];
  }
}
