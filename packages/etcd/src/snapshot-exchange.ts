import type { Message } from "@keelson/raft";
import { deleteRangeInParts, type KvStore } from "@keelson/storage";
import { assert, type Logger } from "@keelson/types";
import { generationPrefix, generationRange } from "./core/keys.ts";
import type { RaftDriver } from "./raft-driver.ts";
import { peekHead, readSnapshot, SnapshotError, writeSnapshot } from "./snapshots.ts";
import type { PeerTransport } from "./transport/port.ts";

interface Deps {
  readonly store: KvStore;
  readonly transport: PeerTransport;
  readonly logger: Logger;
  readonly driver: RaftDriver;
  /** The generation that is in use, and the index it is at. */
  readonly current: () => { generation: number; appliedIndex: number };
}

/** Streams that a member takes at a time: one, and the next leader's while that one is given up. */
const INCOMING_MAX = 2;

/** Gives the applied state to followers that are too far behind for the log, and takes it from a leader. */
export class SnapshotExchange {
  readonly #deps: Deps;
  #lastGeneration: number;
  #incoming = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#lastGeneration = deps.current().generation;
  }

  /** Carries out a MsgSnap of this member's Raft, and tells it how that went. Never rejects. */
  async send(m: Message): Promise<void> {
    const { store, transport, logger, driver, current } = this.#deps;
    const report = (ok: boolean) => driver.call(() => driver.node.reportSnapshot(m.to, ok));
    try {
      // What is being written must be in the scan: the state may not be older than the message says.
      await driver.flush();
      const { position, confState, chunks } = await peekHead(readSnapshot(store, current().generation));
      const asked = m.snapshot?.metadata.index ?? 0;
      assert(position.index >= asked, "a snapshot is not older than asked", { asked, index: position.index });
      logger.info("sending database snapshot", { to: m.to, index: position.index });
      const metadata = { ...position, confState };
      await transport.sendSnapshot({ ...m, snapshot: { data: new Uint8Array(0), metadata } }, chunks);
      report(true);
    } catch (error) {
      logger.warn("failed to send database snapshot", { to: m.to, error });
      report(false);
    }
  }

  /**
   * Stores what a leader streams as a new generation and hands the message to Raft, which decides whether to use it.
   * @throws SnapshotError
   */
  async receive(m: Message, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { store, logger, driver, current } = this.#deps;
    if (m.snapshot === undefined || m.type !== "MsgSnap") throw new SnapshotError("the stream has no snapshot message");
    const { metadata } = m.snapshot;
    if (metadata.index <= current().appliedIndex) throw new SnapshotError("the snapshot is older than the state");
    if (this.#incoming >= INCOMING_MAX) throw new SnapshotError("other snapshots are being received");
    this.#incoming++;
    const generation = ++this.#lastGeneration;
    logger.info("receiving database snapshot", { from: m.from, index: metadata.index });
    try {
      const records = await writeSnapshot(store, generation, chunks);
      logger.info("received database snapshot", { from: m.from, records });
    } catch (error) {
      // A part of it is of no use to anybody.
      await deleteRangeInParts(store, generationRange(generation), { sync: false });
      throw error;
    } finally {
      this.#incoming--;
    }
    driver.step({ ...m, snapshot: { data: encodeGeneration(generation), metadata } });
  }

  /** Deletes the generations `[from, to)`, which nobody uses any more. */
  discard(from: number, to: number): void {
    const { store, driver } = this.#deps;
    const range = { gte: generationPrefix(from), lt: generationPrefix(to) };
    deleteRangeInParts(store, range, { sync: false }).catch((error: unknown) => driver.fail(error));
  }
}

/** A generation's number as the data of a snapshot within this process. */
export function encodeGeneration(n: number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(n));
  return out;
}

export function decodeGeneration(bytes: Uint8Array): number {
  assert(bytes.length === 8, "a number of eight bytes", { bytes: bytes.length });
  return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0));
}
