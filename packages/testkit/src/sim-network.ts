import { assert, type Clock } from "@keelson/types";
import type { Prng } from "./prng.ts";

/** How a link treats messages. Chances are in `[0, 1]`. */
export interface LinkOptions {
  /** The least one-way delay. */
  readonly delayMinMs: number;
  /** The greatest ordinary one-way delay; delays are uniform between the two. */
  readonly delayMaxMs: number;
  /** The chance that a message takes up to `tailMaxMs` instead. */
  readonly tailChance: number;
  readonly tailMaxMs: number;
  /** The chance that a message is lost. */
  readonly loss: number;
  /** The chance that a message arrives twice. */
  readonly duplication: number;
  /** The chance that a message may overtake earlier ones of its link; the others arrive in order. */
  readonly reorder: number;
}

/** A calm local network: 0.2 to 1 ms, nothing lost, nothing reordered. */
export const CALM_LINK: LinkOptions = {
  delayMinMs: 0.2,
  delayMaxMs: 1,
  tailChance: 0,
  tailMaxMs: 0,
  loss: 0,
  duplication: 0,
  reorder: 0,
};

/** A bad network: every fault a datagram network has. */
export const ROUGH_LINK: LinkOptions = {
  delayMinMs: 0.2,
  delayMaxMs: 10,
  tailChance: 0.02,
  tailMaxMs: 400,
  loss: 0.05,
  duplication: 0.03,
  reorder: 0.2,
};

/** What the network did, for a trace. */
export type NetworkEvent = "sent" | "delivered" | "lost" | "cut" | "duplicated" | "dead" | "held";

/** Options of {@link SimNetwork}. Pass the true clock, not a machine's view. */
export interface SimNetworkOptions<Id, Message> {
  readonly clock: Clock;
  readonly rng: Prng;
  /** The behaviour of every link that has no own. Default {@link CALM_LINK}. */
  readonly link?: LinkOptions;
  /** Sees everything that happens to messages. */
  readonly observe?: (event: NetworkEvent, from: Id, to: Id, message: Message) => void;
}

interface Node<Id, Message> {
  /** Counts attachments: a message to an earlier incarnation is lost with its connection. */
  readonly incarnation: number;
  readonly deliver: ((from: Id, message: Message) => void) | undefined;
  paused: boolean;
  readonly held: { from: Id; message: Message }[];
}

/**
 * A network of nodes that exchange opaque messages, deterministic from its generator. Links are directed; each has its
 * own behaviour and may be cut. Messages are handed over by reference: neither side may change one.
 */
export class SimNetwork<Id extends string | number | bigint, Message> {
  readonly #options: SimNetworkOptions<Id, Message>;
  readonly #nodes = new Map<Id, Node<Id, Message>>();
  readonly #links = new Map<string, LinkOptions>();
  readonly #cuts = new Set<string>();
  /** When the last ordered message of a link arrives: later ones may not arrive before. */
  readonly #lastArrivalMs = new Map<string, number>();
  #defaultLink: LinkOptions;

  constructor(options: SimNetworkOptions<Id, Message>) {
    this.#options = options;
    this.#defaultLink = options.link ?? CALM_LINK;
  }

  /** Connects a node. Disposing the result is its death: what is on the way to it is lost. */
  attach(id: Id, deliver: (from: Id, message: Message) => void): Disposable {
    const before = this.#nodes.get(id);
    assert(before?.deliver === undefined, "a node is attached once at a time", { id });
    const incarnation = (before?.incarnation ?? 0) + 1;
    this.#nodes.set(id, { incarnation, deliver, paused: false, held: [] });
    return {
      [Symbol.dispose]: () => {
        if (this.#nodes.get(id)?.incarnation !== incarnation) return;
        this.#nodes.set(id, { incarnation, deliver: undefined, paused: false, held: [] });
      },
    };
  }

  /** Ids of the nodes attached now, in the order of their first attachment. */
  nodes(): Id[] {
    return [...this.#nodes].filter(([, node]) => node.deliver !== undefined).map(([id]) => id);
  }

  /** Sends a message, or loses it. Never throws, as a datagram socket would not. */
  send(from: Id, to: Id, message: Message): void {
    const { rng } = this.#options;
    const link = this.#links.get(linkKey(from, to)) ?? this.#defaultLink;
    this.#observe("sent", from, to, message);
    if (this.isCut(from, to)) return this.#observe("cut", from, to, message);
    if (rng.chance(link.loss)) return this.#observe("lost", from, to, message);
    this.#schedule(link, from, to, message);
    if (rng.chance(link.duplication)) {
      this.#observe("duplicated", from, to, message);
      this.#schedule(link, from, to, message);
    }
  }

  /** Sets the behaviour of all links, or of the directed link between two nodes. */
  setLink(link: LinkOptions, between?: { readonly from: Id; readonly to: Id }): void {
    if (between !== undefined) {
      this.#links.set(linkKey(between.from, between.to), link);
      return;
    }
    this.#defaultLink = link;
    this.#links.clear();
  }

  /** Cuts one direction of a link; what is on the way is lost too. */
  cut(from: Id, to: Id): void {
    this.#cuts.add(linkKey(from, to));
  }

  /** Mends one direction of a link. */
  mend(from: Id, to: Id): void {
    this.#cuts.delete(linkKey(from, to));
  }

  /** Cuts every link between nodes of different groups, both ways. Nodes in no group keep their links. */
  partition(...groups: readonly (readonly Id[])[]): void {
    for (const a of groups) {
      for (const b of groups) {
        if (a !== b) for (const from of a) for (const to of b) this.cut(from, to);
      }
    }
  }

  /** Mends every link. Behaviours stay. */
  heal(): void {
    this.#cuts.clear();
  }

  isCut(from: Id, to: Id): boolean {
    return this.#cuts.has(linkKey(from, to));
  }

  /** Holds messages to a node, as the kernel's buffers do for a stopped process. */
  pause(id: Id): void {
    const node = this.#nodes.get(id);
    if (node !== undefined) node.paused = true;
  }

  /** Hands over what was held, in order of arrival. */
  resume(id: Id): void {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    node.paused = false;
    for (const { from, message } of node.held.splice(0)) this.#hand(node, from, id, message);
  }

  #schedule(link: LinkOptions, from: Id, to: Id, message: Message): void {
    const { clock, rng } = this.#options;
    const key = linkKey(from, to);
    const maxMs = rng.chance(link.tailChance) ? link.tailMaxMs : link.delayMaxMs;
    let atMs = clock.monotonicMs() + link.delayMinMs + rng.float() * Math.max(0, maxMs - link.delayMinMs);
    if (!rng.chance(link.reorder)) {
      atMs = Math.max(atMs, this.#lastArrivalMs.get(key) ?? 0);
      this.#lastArrivalMs.set(key, atMs);
    }
    const incarnation = this.#nodes.get(to)?.incarnation;
    clock.after(atMs - clock.monotonicMs(), () => {
      const node = this.#nodes.get(to);
      if (this.#cuts.has(key)) return this.#observe("cut", from, to, message);
      if (node === undefined || node.incarnation !== incarnation) return this.#observe("dead", from, to, message);
      this.#hand(node, from, to, message);
    });
  }

  #hand(node: Node<Id, Message>, from: Id, to: Id, message: Message): void {
    if (node.paused) {
      node.held.push({ from, message });
      return this.#observe("held", from, to, message);
    }
    if (node.deliver === undefined) return this.#observe("dead", from, to, message);
    this.#observe("delivered", from, to, message);
    node.deliver(from, message);
  }

  #observe(event: NetworkEvent, from: Id, to: Id, message: Message): void {
    this.#options.observe?.(event, from, to, message);
  }
}

function linkKey(from: string | number | bigint, to: string | number | bigint): string {
  return `${from}>${to}`;
}
