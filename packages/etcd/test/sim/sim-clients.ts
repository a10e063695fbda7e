import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { RequestOpSchema } from "@keelson/proto";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  DeleteRangeRequestSchema,
  type KeyValue,
  PutRequestSchema,
  RangeRequestSchema,
  type RequestOp,
  type ResponseOp,
  TxnRequestSchema,
} from "@keelson/proto";
import type {
  History,
  KvBasicInput,
  KvBasicOutput,
  KvInput,
  KvOutput,
  KvPair,
  PendingOperation,
  Prng,
  SimClock,
  Trace,
} from "@keelson/testkit";
import { EtcdError, type EtcdServer } from "../../src/index.ts";
import type { SimMember } from "./sim-member.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

export interface ClientsOptions {
  readonly members: readonly SimMember[];
  readonly clock: SimClock;
  readonly rng: Prng;
  readonly history: History<KvInput, KvOutput>;
  readonly trace: Trace;
  readonly clients: number;
  readonly keys: number;
  readonly serializableReads: boolean;
}

/** Clients that each do one thing after another until told to stop, and record what they saw. */
export class SimClients {
  readonly #options: ClientsOptions;
  readonly #running: Promise<void>[] = [];
  #stopping = false;
  #busy = 0;
  #values = 0;
  /** Writes that were acknowledged. */
  acknowledged = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
    for (let i = 0; i < options.clients; i++) this.#running.push(this.#client(i, options.rng.fork(`client ${i}`)));
  }

  /** Lets each client finish what it does. */
  stop(): void {
    this.#stopping = true;
  }

  /** Resolves when all clients have finished; rejects with what no client expects. */
  get finished(): Promise<unknown> {
    return Promise.all(this.#running);
  }

  /** Whether nothing is under way any more. */
  get idle(): boolean {
    return this.#stopping && this.#busy === 0;
  }

  async #client(index: number, rng: Prng): Promise<void> {
    const { clock, members } = this.#options;
    while (!this.#stopping) {
      await clock.sleep(rng.between(1, 250));
      const member = rng.pick(members);
      if (member.server === undefined) continue;
      this.#busy++;
      await this.#operate(index, rng, member, member.server);
      this.#busy--;
    }
  }

  async #operate(client: number, rng: Prng, member: SimMember, server: EtcdServer): Promise<void> {
    const { clock, history, trace } = this.#options;
    const input = this.#choose(rng);
    const pending = history.begin(client, input);
    const give = clock.sleep(rng.between(500, 8_000)).then(() => "gave up" as const);
    const died = member.death.then(() => "died" as const);
    const outcome = await Promise.race([this.#call(server, input).catch((error: unknown) => ({ error })), give, died]);
    trace.add({ t: clock.monotonicMs(), type: "op", client, via: member.name, input, outcome });
    this.#record(pending, input, outcome);
  }

  #record(
    pending: PendingOperation<KvOutput>,
    input: KvInput,
    outcome: KvOutput | { error: unknown } | "gave up" | "died",
  ): void {
    if (typeof outcome === "string") return pending.unknown();
    if ("error" in outcome) {
      if (!(outcome.error instanceof EtcdError)) throw outcome.error;
      // Only where the server says so is it certain that nothing happened, or will.
      return outcome.error.details["proposed"] === false || outcome.error.code === "ERR_NO_LEADER"
        ? pending.refused()
        : pending.unknown();
    }
    if (input.type !== "range") this.acknowledged++;
    return pending.ok(outcome);
  }

  #choose(rng: Prng): KvInput {
    const key = `k${rng.below(this.#options.keys)}`;
    const roll = rng.float();
    if (roll < 0.4) return { type: "put", key, value: this.#value() };
    if (roll < 0.75) return { type: "range", key };
    if (roll < 0.8) return { type: "range", key: "k", end: "l" };
    if (roll < 0.88) return { type: "delete", key };
    const last = rng.below(6);
    return {
      type: "txn",
      compare: [{ key, target: "version", result: "=", than: last }],
      success: [{ type: "put", key, value: this.#value() }],
      failure: rng.chance(0.5)
        ? [{ type: "range", key }]
        : [{ type: "put", key: `k${rng.below(this.#options.keys)}`, value: this.#value() }],
    };
  }

  #value(): string {
    return `v${++this.#values}`;
  }

  async #call(server: EtcdServer, input: KvInput): Promise<KvOutput> {
    switch (input.type) {
      case "put": {
        const { header } = await server.kv.put(
          create(PutRequestSchema, { key: bytes(input.key), value: bytes(input.value) }),
        );
        return { revision: Number(header?.revision) };
      }
      case "delete": {
        const { header, deleted } = await server.kv.deleteRange(
          create(DeleteRangeRequestSchema, { key: bytes(input.key) }),
        );
        return { revision: Number(header?.revision), deleted: Number(deleted) };
      }
      case "range": {
        const rangeEnd = bytes(input.end ?? "");
        const request = { key: bytes(input.key), rangeEnd, serializable: this.#options.serializableReads };
        const { header, kvs } = await server.kv.range(create(RangeRequestSchema, request));
        return { revision: Number(header?.revision), kvs: kvs.map(toPair) };
      }
      case "txn": {
        const compare = input.compare.map((c) => ({
          key: bytes(c.key),
          result: Compare_CompareResult.EQUAL,
          target: Compare_CompareTarget.VERSION,
          targetUnion: { case: "version" as const, value: BigInt(c.than) },
        }));
        const request = { compare, success: input.success.map(toOp), failure: input.failure.map(toOp) };
        const { header, succeeded, responses } = await server.kv.txn(create(TxnRequestSchema, request));
        return { revision: Number(header?.revision), succeeded, responses: responses.map(fromOp) };
      }
    }
  }
}

function toPair(kv: KeyValue): KvPair {
  return {
    key: text(kv.key),
    value: text(kv.value),
    createRevision: Number(kv.createRevision),
    modRevision: Number(kv.modRevision),
    version: Number(kv.version),
  };
}

function toOp(op: KvBasicInput): MessageInitShape<typeof RequestOpSchema> {
  const key = bytes(op.key);
  const value: RequestOp["request"] =
    op.type === "put"
      ? { case: "requestPut", value: create(PutRequestSchema, { key, value: bytes(op.value) }) }
      : op.type === "range"
        ? { case: "requestRange", value: create(RangeRequestSchema, { key }) }
        : { case: "requestDeleteRange", value: create(DeleteRangeRequestSchema, { key }) };
  return { request: value };
}

function fromOp({ response }: ResponseOp): KvBasicOutput {
  if (response.case === "responseRange") return { kvs: response.value.kvs.map(toPair) };
  if (response.case === "responseDeleteRange") return { deleted: Number(response.value.deleted) };
  return {};
}
