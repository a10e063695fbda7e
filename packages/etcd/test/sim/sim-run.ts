import {
  assertLinearizable,
  CALM_LINK,
  History,
  type KvInput,
  type KvOutput,
  kvModel,
  runSim,
  type SeedRun,
  SimClock,
  SimNetwork,
} from "@keelson/testkit";
import { assert, type MemberId } from "@keelson/types";
import { SimClients } from "./sim-clients.ts";
import { SimFaults } from "./sim-faults.ts";
import { Invariants } from "./sim-invariants.ts";
import { type Sabotage, SimMember } from "./sim-member.ts";
import type { Packet } from "./sim-transport.ts";
import { type SeenEvents, SimWatcher } from "./sim-watcher.ts";

export interface SimOptions {
  /** Virtual milliseconds in which everything may fail. Default 12 s. */
  readonly chaosMs?: number;
  /** The longest virtual pause between two faults. Default 1.5 s; shorter keeps the cluster in elections. */
  readonly paceMs?: number;
  readonly sabotage?: Sabotage;
}

/** What a run did, for the reader and to tell whether two runs are the same. */
export interface SimStats {
  readonly events: number;
  readonly operations: number;
  readonly acknowledged: number;
  readonly revision: number;
  readonly hash: string;
}

/** A whole cluster that runs again must be in agreement within this virtual time. */
const RECOVERY_MS = 60_000;
/** A run has some five thousand; far more means that something spins. */
const EVENTS_MAX = 300_000;
const CLIENTS = 4;
const KEYS = 5;
const NAMES = ["a", "b", "c"];

/**
 * One run: three members with clients and watchers under faults (the safety phase), then without (the liveness phase).
 * Throws when an acknowledged write is lost, a history is not linearizable, members differ, a watch is wrong, a member
 * refuses its own disk, or the whole cluster does not come to rest.
 */
export async function simulate({ rng, trace }: Omit<SeedRun, "seed">, options: SimOptions = {}): Promise<SimStats> {
  const clock = new SimClock();
  const network = new SimNetwork<MemberId, Packet>({ clock, rng: rng.fork("network"), link: CALM_LINK });
  const sabotage = options.sabotage ?? {};
  let failure: unknown;
  const fail = (error: unknown) => {
    failure ??= error;
  };
  const invariants = new Invariants(fail);
  const members = NAMES.map(
    (name) => new SimMember({ name, names: NAMES, clock, network, rng: rng.fork(name), trace, sabotage, invariants }),
  );
  const check = () => {
    if (failure !== undefined) throw failure;
  };
  for (const member of members) member.start().catch(fail);

  const history = new History<KvInput, KvOutput>(clock);
  const shared = { members, clock, trace };
  const clients = new SimClients({
    ...shared,
    history,
    rng: rng.fork("clients"),
    clients: CLIENTS,
    keys: KEYS,
    serializableReads: sabotage.readWithoutReadIndex === true,
  });
  const seen: SeenEvents = new Map();
  const watchers = [1, 2].map(
    (i) => new SimWatcher({ members, clock, rng: rng.fork(`watcher ${i}`), seen, onFailure: fail }),
  );
  const faults = new SimFaults({
    ...shared,
    network,
    rng: rng.fork("faults"),
    paceMs: options.paceMs ?? 1_500,
    onRefusedDisk: (_member, error) => fail(error),
  });
  clients.finished.catch(fail);

  const chaosMs = options.chaosMs ?? 12_000;
  await runSim(clock, { untilMs: chaosMs, check, eventsMax: EVENTS_MAX });
  faults.heal();
  await runSim(clock, { untilMs: chaosMs + 3_000, check, eventsMax: EVENTS_MAX });
  clients.stop();
  const recovered = await runSim(clock, {
    untilMs: chaosMs + RECOVERY_MS,
    eventsMax: EVENTS_MAX,
    check,
    until: () => clients.idle && agree(members) && watchers.every((w) => w.revision === revisionOf(members)),
  });
  assert(recovered === "until", "a whole cluster comes to rest in agreement", describe(members, clients, watchers));
  for (const watcher of watchers) watcher.stop();
  assertLinearizable(history, kvModel);
  assert(clients.acknowledged > 0, "some write was acknowledged", describe(members, clients, watchers));
  const { hash } = members[0]?.server?.member.state.mvcc.hashKv() ?? { hash: 0 };
  return {
    events: clock.eventsRun,
    operations: history.operations().length,
    acknowledged: clients.acknowledged,
    revision: revisionOf(members),
    hash: String(hash),
  };
}

function revisionOf(members: readonly SimMember[]): number {
  return Math.max(...members.map((member) => member.server?.member.state.mvcc.revision ?? 0));
}

/** Whether every member has applied the same and holds the same, to the byte. */
function agree(members: readonly SimMember[]): boolean {
  const states = members.map((member) => {
    if (member.server?.isStarted !== true) return undefined;
    const { state } = member.server.member;
    return `${state.applied.index} ${state.mvcc.revision} ${JSON.stringify(state.mvcc.stateHash())} ${state.mvcc.scrubbing}`;
  });
  if (states.some((state) => state === undefined || state !== states[0])) return false;
  // The rolling hash first, since it is cheap; the whole content only when that agrees.
  return new Set(members.map((member) => JSON.stringify(member.server?.member.state.mvcc.hashKv()))).size === 1;
}

function describe(
  members: readonly SimMember[],
  clients: SimClients,
  watchers: readonly SimWatcher[],
): Record<string, unknown> {
  const of = (member: SimMember) => {
    if (member.server?.isStarted !== true) return { up: false, failure: member.failure?.message };
    const { applied, mvcc } = member.server.member.state;
    return { ...member.server.member.status(), applied, revision: mvcc.revision, hash: mvcc.stateHash() };
  };
  const show = (value: unknown) =>
    JSON.stringify(value, (_key, v: unknown) => (typeof v === "bigint" ? v.toString(16) : v));
  return {
    members: show(members.map(of)),
    clientsIdle: clients.idle,
    acknowledged: clients.acknowledged,
    watchers: watchers.map((w) => w.revision),
  };
}
