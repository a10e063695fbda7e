import { type Clock, formatErrorChain, type Logger, type Random } from "@keelson/types";
import type { Agent, AgentEvent, Effect, Moment, Policy, StateName, Step } from "./core/agent/model.ts";
import { startAgent } from "./core/agent/start.ts";
import { stepAgent, whyNot } from "./core/agent/step.ts";
import { type EffectPorts, Effects } from "./effects.ts";
import type { BootPort, StateStore } from "./ports.ts";

const SAVE_AGAIN_MS = 5_000;
const MILLION = 1_000_000;

/** Everything that an agent needs of the world. */
export interface UpdateDeps extends EffectPorts {
  readonly boot: BootPort;
  readonly store: StateStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * Runs an agent: events in a queue, one step at a time; its memory on disk before anything that follows from it is begun.
 * Effects run beside it and answer with events.
 */
export class Updater implements AsyncDisposable {
  readonly #deps: UpdateDeps;
  readonly #effects: Effects;
  readonly #stop = new AbortController();
  readonly #queue: AgentEvent[] = [];
  readonly #listeners: ((agent: Agent, before: StateName) => void)[] = [];
  #agent: Agent;
  #timer: Disposable | undefined;
  #isStepping = false;
  #stepped: Promise<void> = Promise.resolve();

  private constructor(deps: UpdateDeps, agent: Agent) {
    this.#deps = deps;
    this.#agent = agent;
    this.#effects = new Effects(deps, this.#stop.signal, (event) => this.#dispatch(event));
    deps.lock.onLost((reason) => this.#dispatch({ type: "lock-lost", reason }));
  }

  /** Finds out where the machine stands and goes on from there. @throws when the boot state cannot be read */
  static async start(deps: UpdateDeps, policy: Policy): Promise<Updater> {
    const [boot, remembered] = await Promise.all([deps.boot.facts(), deps.store.load()]);
    if ("unreadable" in remembered) deps.logger.error("updates are held", { why: remembered.unreadable });
    const first = startAgent(policy, boot, remembered, momentOf(deps));
    const before: Agent = "memory" in remembered ? { ...first.agent, memory: remembered.memory } : first.agent;
    const updater = new Updater(deps, { ...before, phase: { state: "starting" } });
    updater.#run(async () => updater.#take(first));
    return updater;
  }

  get agent(): Agent {
    return this.#agent;
  }

  /** What the effects know beside the agent: progress of a pull, last report of the gate. */
  get facts(): Effects["facts"] {
    return this.#effects.facts;
  }

  /** Obeys, or says why not. */
  command(command: "check" | "now" | "rollback"): { readonly refused?: string } {
    const refused = whyNot(this.#agent, command);
    if (refused !== undefined) return { refused };
    this.#deps.logger.info("an operator asks", { command });
    this.#dispatch({ type: "command", command });
    return {};
  }

  /** Called after each step with the agent and the state before it. */
  onStep(listener: (agent: Agent, before: StateName) => void): void {
    this.#listeners.push(listener);
  }

  /** Resolves when the queue is empty. For tests. */
  async settled(): Promise<void> {
    while (this.#isStepping) await this.#stepped;
  }

  /** Stops waiting and pulling. A hold is kept: whoever stops the agent has not made the machine any better. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#timer?.[Symbol.dispose]();
    await this.#effects.idle();
    await this.settled();
  }

  #dispatch(event: AgentEvent): void {
    if (this.#stop.signal.aborted) return;
    this.#queue.push(event);
    if (!this.#isStepping) this.#run(() => this.#drain());
  }

  #run(work: () => Promise<void>): void {
    this.#isStepping = true;
    this.#stepped = work()
      .catch((error: unknown) => {
        // A broken invariant: the process ends, and the next one starts from what is on disk.
        this.#deps.logger.error("the agent cannot go on", { error });
        this.#stop.abort();
        throw error;
      })
      .finally(() => {
        this.#isStepping = false;
        if (this.#queue.length > 0 && !this.#stop.signal.aborted) this.#run(() => this.#drain());
      });
  }

  async #drain(): Promise<void> {
    for (let event = this.#queue.shift(); event !== undefined; event = this.#queue.shift()) {
      if (this.#stop.signal.aborted) return;
      await this.#take(stepAgent(this.#agent, event, momentOf(this.#deps)));
    }
  }

  async #take({ agent, effects }: Step): Promise<void> {
    const before = this.#agent;
    // Nothing is overwritten that could not be read, until an operator says so.
    if (agent.memory !== before.memory && agent.held === undefined) await this.#save(agent);
    if (this.#stop.signal.aborted) return;
    this.#agent = agent;
    if (agent.phase.state !== before.phase.state) this.#logChange(agent, before.phase.state);
    for (const listener of this.#listeners) listener(agent, before.phase.state);
    for (const effect of effects) this.#start(effect, agent);
  }

  #start(effect: Effect, agent: Agent): void {
    if (effect.do !== "wait") {
      this.#effects.start(effect, agent);
      return;
    }
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#deps.clock.after(effect.ms, () => this.#dispatch({ type: "tick" }));
  }

  /** Until it is on disk nothing goes on; a full disk gets its time. */
  async #save(agent: Agent): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await this.#deps.store.save(agent.memory);
        return;
      } catch (error) {
        this.#deps.logger.error("the state cannot be saved; nothing is done until it can", {
          error: formatErrorChain(error),
        });
        await pause(this.#deps.clock, SAVE_AGAIN_MS, this.#stop.signal);
      }
    }
  }

  #logChange(agent: Agent, before: StateName): void {
    const { phase } = agent;
    const fields: Record<string, unknown> = { from: before, to: phase.state };
    if ("candidate" in phase) fields["version"] = phase.candidate.target.version;
    else if (agent.memory.attempt !== undefined) fields["version"] = agent.memory.attempt.target.version;
    if ("note" in phase && phase.note !== undefined) fields["note"] = phase.note;
    // A machine at rest asks every few minutes; that is no news.
    const isRoutine =
      (phase.state === "checking" && before === "idle") || (phase.state === "idle" && before === "checking");
    if (isRoutine) this.#deps.logger.debug("state", fields);
    else this.#deps.logger.info("state", fields);
  }
}

function momentOf({ clock, random }: { clock: Clock; random: Random }): Moment {
  return { nowS: Math.max(0, Math.floor(clock.wallMs() / 1_000)), roll: random.below(MILLION) / MILLION };
}

/** Resolves after `delayMs`, or as soon as the signal aborts. */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const finish = () => {
      signal.removeEventListener("abort", finish);
      timer[Symbol.dispose]();
      resolve();
    };
    const timer = clock.after(delayMs, finish);
    signal.addEventListener("abort", finish);
  });
}
