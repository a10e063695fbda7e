import { isDeepStrictEqual } from "node:util";
import { create, type Message } from "@bufbuild/protobuf";
import { KV, WatchCreateRequestSchema } from "@keelson/proto";
import { eventually, Prng } from "@keelson/testkit";
import { adjust } from "./allowed.ts";
import { Generator, STREAMS, type Step } from "./generate.ts";
import { type Plain, plain } from "./normalise.ts";
import { shrink } from "./shrink.ts";
import type { Stream, Target } from "./target.ts";

const SETTLE_MS = 3_000;
const NOBODY = { clusterId: 0n, memberId: 0n };
/** Watched by the last stream; put to see that everything before has arrived. */
const FENCE = new TextEncoder().encode("zz-fence");
const FENCE_ID = 424_242n;

/** The two servers did not say the same. */
export interface Difference {
  readonly at: number;
  readonly request: string;
  readonly upstream: Plain;
  readonly ours: Plain;
}

/** Asks both servers the same. `upstream` is right. */
export class Comparison {
  readonly #upstream: Target;
  readonly #ours: Target;
  readonly differences: Difference[] = [];
  /** Requests that both refused, by the text of the refusal: shows what a run has reached. */
  readonly refusals = new Map<string, number>();

  constructor(upstream: Target, ours: Target) {
    this.#upstream = upstream;
    this.#ours = ours;
  }

  /** Runs up to `steps`, and returns how many; ends at the first difference, since nothing is comparable after it. */
  async run(seed: number, steps: number, deadlineMs: number): Promise<number> {
    const generator = new Generator(new Prng(seed));
    const value = { key: FENCE, watchId: FENCE_ID };
    await this.#watch({ kind: "watch", stream: STREAMS - 1, request: { requestUnion: fenceWatch(value) } }, 0);
    let at = 0;
    for (; at < steps && performance.now() < deadlineMs; at++) {
      const step = generator.next();
      const difference = await this.#step(at, step, generator);
      if (difference === undefined) continue;
      this.differences.push(difference);
      break;
    }
    return at;
  }

  async #step(at: number, step: Step, generator: Generator): Promise<Difference | undefined> {
    if (step.kind === "settle") return this.#settle(at, generator);
    if (step.kind === "watch") return this.#watch(step, at);
    const [upstream, ours] = await Promise.all([this.#upstream.run(step), this.#ours.run(step)]);
    const [expected, actual] = adjust(step, upstream.plain, ours.plain);
    if (isDeepStrictEqual(expected, actual)) {
      generator.sawRevision(ours.revision);
      if (ours.ok) generator.sawSuccess(step);
      else this.#count(ours.plain);
      for (let i = 0; i < STREAMS; i++) for (const stream of this.#streams(i)) stream.compacted = generator.compacted;
      return undefined;
    }
    return { at, request: await this.#describe(step), upstream: expected, ours: actual };
  }

  #count(refusal: Plain): void {
    const { text } = refusal as { text: string };
    this.refusals.set(text, (this.refusals.get(text) ?? 0) + 1);
  }

  /** Sends a request on a stream of both and waits for the answers to it. */
  async #watch({ stream, request }: Extract<Step, { kind: "watch" }>, at: number): Promise<Difference | undefined> {
    const [upstream, ours] = this.#streams(stream);
    if (upstream.isAboutDead(request)) return undefined;
    const wanted = upstream.controls + upstream.answersTo(request);
    await Promise.all([upstream.send(request), ours.send(request)]);
    const answered = () => upstream.controls >= wanted && ours.controls >= wanted;
    if (await holds(answered, SETTLE_MS)) return undefined;
    return { at, request: show({ kind: "watch", stream, request }), upstream: upstream.log, ours: ours.log };
  }

  /** Waits until both have sent everything there is to send, and compares it. */
  async #settle(at: number, generator: Generator): Promise<Difference | undefined> {
    const put = { key: FENCE, value: new Uint8Array(0) };
    const puts = [this.#upstream, this.#ours].map((target) => target.channel.unary(KV.method.put, put));
    const [revision = 0, ...others] = (await Promise.all(puts)).map(({ header }) => Number(header?.revision ?? 0n));
    if (others.some((r) => r !== revision)) return { at, request: "fence", upstream: revision, ours: others };
    generator.sawRevision(revision);
    for (let i = 0; i < STREAMS; i++) {
      const both = this.#streams(i);
      const arrived = await Promise.all(both.map((stream) => this.#isThere(stream, i, revision)));
      const [upstream, ours] = both;
      // The events of the fence itself come in any order, and each on its own.
      const same = () => isDeepStrictEqual(upstream.log, ours.log);
      if (arrived.includes(false) || !(await holds(same, SETTLE_MS))) {
        const request = `responses of stream ${i}, all there: ${arrived.join(" and ")}`;
        return { at, request, upstream: upstream.log, ours: ours.log };
      }
      upstream.clear();
      ours.clear();
    }
    return undefined;
  }

  #isThere(stream: Stream, index: number, revision: number): Promise<boolean> {
    if (index === STREAMS - 1) return holds(() => stream.seen >= revision, SETTLE_MS);
    let asked = Number.NEGATIVE_INFINITY;
    return holds(async () => {
      if (stream.progress >= revision || !stream.hasWatches) return true;
      // Upstream forgets a request that it cannot answer at once.
      if (performance.now() - asked < 20) return false;
      asked = performance.now();
      await stream.send({ requestUnion: PROGRESS });
      return false;
    }, SETTLE_MS);
  }

  #streams(index: number): readonly [Stream, Stream] {
    return [this.#upstream.streams[index] as Stream, this.#ours.streams[index] as Stream];
  }

  /** The request and the simplest one like it that is answered differently too. */
  async #describe(step: Step): Promise<string> {
    if (step.kind !== "unary") return show(step);
    const fails = async (request: Message) => {
      const candidate = { ...step, request };
      const [upstream, ours] = await Promise.all([this.#upstream.run(candidate), this.#ours.run(candidate)]);
      const [expected, actual] = adjust(candidate, upstream.plain, ours.plain);
      // The revisions may differ by now.
      return !isDeepStrictEqual(withoutHeader(expected), withoutHeader(actual));
    };
    const shrunk = { ...step, request: await shrink(step.method.input, step.request, fails) };
    const answers = await Promise.all([this.#upstream.run(shrunk), this.#ours.run(shrunk)]);
    const said = answers.map((a) => JSON.stringify(a.plain)).join(" but ours ");
    return `${show(step)}\n  shrunk: ${show(shrunk)} ${said}`;
  }
}

const PROGRESS = {
  case: "progressRequest",
  value: { $typeName: "etcdserverpb.WatchProgressRequest" },
} as const;

function fenceWatch({ key, watchId }: { key: Uint8Array; watchId: bigint }) {
  return { case: "createRequest", value: create(WatchCreateRequestSchema, { key, watchId }) } as const;
}

async function holds(check: () => boolean | Promise<boolean>, timeoutMs: number): Promise<boolean> {
  return eventually(check, { timeoutMs, pauseMs: 1 }).then(
    () => true,
    () => false,
  );
}

function withoutHeader(value: Plain): Plain {
  return typeof value === "object" && "header" in value ? { ...value, header: "" } : value;
}

function show(step: Step): string {
  if (step.kind === "unary") return `${step.method.name} ${JSON.stringify(plain(step.request, NOBODY))}`;
  if (step.kind === "watch") return `watch ${step.stream} ${JSON.stringify(plain(step.request, NOBODY))}`;
  return step.kind === "keepAlive" ? `keepAlive ${step.id}` : "settle";
}
