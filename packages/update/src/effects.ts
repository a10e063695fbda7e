import { formatErrorChain, type Logger } from "@keelson/types";
import type { Agent, AgentEvent, Clearance, Effect, OpEvent } from "./core/agent/model.ts";
import { chooseUpdate, type Denial, findDenial, type Target } from "./core/choose.ts";
import { PullError } from "./errors.ts";
import type {
  BootPort,
  Deployer,
  GateReport,
  GraphClient,
  GraphQuery,
  HealthGate,
  Puller,
  PullProgress,
  Rebooter,
  RebootLock,
  RolloutBoard,
} from "./ports.ts";

/** The ports that effects act on. */
export interface EffectPorts {
  readonly graph: GraphClient;
  /** What this machine says of itself; version and checksum are filled in. */
  readonly identity: Omit<GraphQuery, "osVersion" | "osChecksum">;
  readonly allowDowngrade: boolean;
  readonly puller: Puller;
  readonly deployer: Deployer;
  readonly boot: BootPort;
  readonly lock: RebootLock;
  readonly board: RolloutBoard;
  readonly gate: HealthGate;
  readonly rebooter: Rebooter;
  readonly logger: Logger;
}

/** Known beside the agent's state; gone with the process. */
export interface EffectFacts {
  pull?: PullProgress & { readonly version: string };
  gate?: GateReport;
  graph?: { readonly nodes: number; readonly edges: number; readonly isDeadend: boolean };
  readonly counts: Map<string, number>;
}

type Doable = Exclude<Effect, { do: "wait" }>;

/** Carries out effects. One of a kind at a time; each ends with an event under the `op` that it was started with. */
export class Effects {
  readonly facts: EffectFacts = { counts: new Map() };
  readonly #ports: EffectPorts;
  readonly #stop: AbortSignal;
  readonly #emit: (event: AgentEvent) => void;
  readonly #running = new Set<Promise<void>>();
  #lockWait = new AbortController();
  /** The lock is used by one at a time: a release must not overtake the acquisition before it. */
  #lockTurn: Promise<void> = Promise.resolve();
  /** Of pull and stage: a newer one ends an older. */
  #work = new AbortController();

  constructor(ports: EffectPorts, stop: AbortSignal, emit: (event: AgentEvent) => void) {
    this.#ports = ports;
    this.#stop = stop;
    this.#emit = emit;
  }

  start(effect: Doable, agent: Agent): void {
    const emit = (event: OpEvent) => this.#emit({ ...event, op: agent.op });
    const work = this.#do(effect, agent, emit).catch((error: unknown) => {
      this.#ports.logger.error("an effect failed in an unforeseen way", { effect: effect.do, error });
    });
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
  }

  /** Resolves when nothing runs any more. */
  async idle(): Promise<void> {
    this.#lockWait.abort();
    this.#work.abort();
    await Promise.allSettled(this.#running);
  }

  async #do(effect: Doable, agent: Agent, emit: (event: OpEvent) => void): Promise<void> {
    const { boot, deployer } = this.#ports;
    switch (effect.do) {
      case "ask-graph":
        return this.#askGraph(effect.isEager, agent);
      case "pull":
        return this.#pull(effect.target, emit);
      case "stage":
        return this.#stage(effect.target, emit);
      case "take-lock":
        return this.#takeLock(effect, emit);
      case "cancel-lock":
        return this.#cancelLock();
      case "resume-lock":
        return this.#resumeLock();
      case "release-lock":
        return this.#releaseLock(emit);
      case "clear":
        return this.#clear(effect.target, emit);
      case "run-gate":
        return this.#runGate(effect, emit);
      case "finalize":
        this.#count("finalization_attempts");
        return this.#attempt(
          async () => {
            await boot.arm(await deployer.finalize(effect.deployment));
            this.#count("finalization_successes");
            emit({ type: "finalized" });
          },
          (reason) => emit({ type: "finalize-failed", reason, isFinal: false }),
        );
      case "go-back":
        return this.#attempt(
          async () => {
            await boot.goBack(effect.reason);
            emit({ type: "went-back" });
          },
          (reason) => emit({ type: "go-back-failed", reason }),
        );
      case "reboot":
        return this.#reboot(effect, emit);
      case "mark-good":
        return this.#attempt(
          async () => {
            await boot.markGood();
            await boot.recordStage("good", "").catch(() => {});
            emit({ type: "marked-good" });
          },
          (reason) => emit({ type: "mark-good-failed", reason }),
        );
      case "share-denial":
        return this.#share(effect.denial, emit);
      case "clean-up":
        return deployer.cleanUp().catch((error: unknown) => {
          this.#ports.logger.warn("old deployments could not be removed", { error });
        });
    }
  }

  async #askGraph(isEager: boolean, agent: Agent): Promise<void> {
    const { graph, identity, board, allowDowngrade, logger } = this.#ports;
    const { booted } = agent.boot;
    this.#count("update_checks");
    try {
      const answer = await graph.fetch(
        {
          ...identity,
          osVersion: booted.version,
          osChecksum: booted.commit,
          rolloutWariness: isEager ? 0 : identity.rolloutWariness,
        },
        this.#stop,
      );
      // Before the lock is held this only saves a pull in vain; with it the board is asked again.
      const shared = await board.denials(this.#stop).catch((error: unknown) => {
        logger.debug("denials of others are not known", { error });
        return [];
      });
      const denied = [...agent.memory.denied, ...shared];
      const choice = chooseUpdate(answer, booted, { denied, allowDowngrade });
      const isDeadend = choice.kind === "deadend";
      this.facts.graph = { nodes: answer.nodes.length, edges: answer.edges.length, isDeadend };
      this.#emit({ type: "graph", choice });
    } catch (error) {
      this.#count("update_check_errors");
      this.#emit({ type: "graph-failed", reason: formatErrorChain(error) });
    }
  }

  async #pull(target: Target, emit: (event: OpEvent) => void): Promise<void> {
    const signal = this.#newWork();
    this.#count("deploy_attempts");
    try {
      const onProgress = (progress: PullProgress) => {
        this.facts.pull = { ...progress, version: target.version };
      };
      await this.#ports.puller.pull(target, { signal, onProgress });
      emit({ type: "pulled" });
    } catch (error) {
      this.#count("deploy_failures");
      const isFinal = error instanceof PullError && error.isFinal;
      emit({ type: "pull-failed", reason: formatErrorChain(error), isFinal });
    } finally {
      delete this.facts.pull;
    }
  }

  async #stage(target: Target, emit: (event: OpEvent) => void): Promise<void> {
    const signal = this.#newWork();
    try {
      emit({ type: "staged", deployment: await this.#ports.deployer.stage(target, signal) });
    } catch (error) {
      this.#count("deploy_failures");
      emit({ type: "stage-failed", reason: formatErrorChain(error), isFinal: false });
    }
  }

  #newWork(): AbortSignal {
    this.#work.abort();
    this.#work = new AbortController();
    return AbortSignal.any([this.#work.signal, this.#stop]);
  }

  /** One user of the lock after the other. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#lockTurn.then(work);
    this.#lockTurn = turn.catch(() => {});
    return turn;
  }

  #takeLock(effect: Extract<Effect, { do: "take-lock" }>, emit: (event: OpEvent) => void): Promise<void> {
    this.#lockWait.abort();
    const wait = new AbortController();
    this.#lockWait = wait;
    this.#count("lock_requests");
    return this.#inTurn(async () => {
      try {
        await this.#ports.lock.acquire({
          ignoreWindow: effect.ignoreWindow,
          version: effect.target.version,
          signal: AbortSignal.any([wait.signal, this.#stop]),
          onWait: ({ what, note }) => emit({ type: "lock-waiting", what, ...(note === undefined ? {} : { note }) }),
        });
        // Cancelled at the very moment when it was got: `#cancelLock` comes next in turn and gives it back.
        if (!wait.signal.aborted) emit({ type: "locked" });
      } catch (error) {
        if (wait.signal.aborted || this.#stop.aborted) return;
        this.#count("lock_errors");
        emit({ type: "lock-failed", reason: formatErrorChain(error) });
      }
    });
  }

  #cancelLock(): Promise<void> {
    this.#lockWait.abort();
    return this.#inTurn(async () => {
      try {
        await this.#ports.lock.release();
      } catch (error) {
        this.#ports.logger.warn("the reboot lock could not be given back; it ends with its lease", { error });
      }
    });
  }

  /** Until etcd answers, or a release has taken its place. */
  #resumeLock(): Promise<void> {
    this.#lockWait.abort();
    this.#lockWait = new AbortController();
    return this.#inTurn(async () => {
      try {
        const isHeld = await this.#ports.lock.resume(AbortSignal.any([this.#lockWait.signal, this.#stop]));
        this.#ports.logger.debug("reboot lock from before the start", { isHeld });
      } catch (error) {
        if (this.#stop.aborted) return;
        this.#ports.logger.warn("the reboot lock could not be taken up again", { error });
      }
    });
  }

  #releaseLock(emit: (event: OpEvent) => void): Promise<void> {
    this.#lockWait.abort();
    return this.#inTurn(() =>
      this.#attempt(
        async () => {
          await this.#ports.lock.release();
          emit({ type: "released" });
        },
        (reason) => emit({ type: "release-failed", reason }),
      ),
    );
  }

  async #clear(target: Target, emit: (event: OpEvent) => void): Promise<void> {
    try {
      const denial = findDenial(await this.#ports.board.denials(this.#stop), target);
      // A denial may name the version alone; the commit that is kept is the one that this machine would have taken.
      const verdict: Clearance =
        denial === undefined ? { kind: "clear" } : { kind: "denied", denial: { ...denial, ...target } };
      emit({ type: "cleared", verdict });
    } catch (error) {
      emit({ type: "cleared", verdict: { kind: "unknown", reason: formatErrorChain(error) } });
    }
  }

  async #runGate(effect: Extract<Effect, { do: "run-gate" }>, emit: (event: OpEvent) => void): Promise<void> {
    const { gate, boot } = this.#ports;
    if (effect.isTrial) await boot.recordStage("userspace", "").catch(() => {});
    try {
      const report = await gate.run({ ...effect, signal: this.#stop });
      this.facts.gate = report;
      emit({ type: "gate", isGreen: report.isGreen, reason: report.reason });
    } catch (error) {
      if (this.#stop.aborted) return;
      emit({ type: "gate", isGreen: false, reason: `the checks could not be run: ${formatErrorChain(error)}` });
    }
  }

  async #reboot(effect: Extract<Effect, { do: "reboot" }>, emit: (event: OpEvent) => void): Promise<void> {
    const { lock, rebooter } = this.#ports;
    await this.#attempt(
      async () => {
        if (effect.needsLock) await lock.confirm(this.#stop);
        await rebooter.reboot(effect.reason);
      },
      (reason) => emit({ type: "reboot-failed", reason }),
    );
  }

  async #share(denial: Denial, emit: (event: OpEvent) => void): Promise<void> {
    await this.#attempt(
      async () => {
        await this.#ports.board.deny(denial);
        emit({ type: "shared" });
      },
      (reason) => emit({ type: "share-failed", reason }),
    );
  }

  async #attempt(work: () => Promise<void>, onFailure: (reason: string) => void): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.#stop.aborted) return;
      onFailure(formatErrorChain(error));
    }
  }

  #count(name: string): void {
    this.facts.counts.set(name, (this.facts.counts.get(name) ?? 0) + 1);
  }
}
