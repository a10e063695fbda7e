import { create } from "@bufbuild/protobuf";
import { WatchResponseSchema } from "@keelson/proto";
import { describe, expect, it } from "vitest";
import { CompactedError } from "./errors.ts";
import type { WatchOptions } from "./types.ts";
import { Watcher } from "./watcher.ts";

function setUp(options: Partial<WatchOptions> = {}) {
  const calls: string[] = [];
  const host = { unpark: () => void calls.push("unpark"), gone: () => void calls.push("gone") };
  return { calls, watcher: new Watcher(host, { key: "k", ...options }) };
}

const created = (revision: number) =>
  create(WatchResponseSchema, { created: true, header: { revision: BigInt(revision) } });
const events = (...revisions: number[]) =>
  create(WatchResponseSchema, { events: revisions.map((r) => ({ kv: { modRevision: BigInt(r) } })) });

describe("Watcher", () => {
  it("asks for what comes next, from creation over events and progress", async () => {
    const { watcher } = setUp();
    expect(watcher.createRequest().startRevision).toBe(0n);
    watcher.onCreated(created(7));
    expect(await watcher.created).toBe(8);
    expect(watcher.createRequest().startRevision).toBe(8n);
    watcher.onEvents(events(9, 9, 11));
    expect(watcher.createRequest().startRevision).toBe(12n);
    watcher.onProgress(created(20));
    watcher.onProgress(created(15));
    expect(watcher.createRequest().startRevision).toBe(21n);
  });

  it("drops what a new stream repeats", async () => {
    const { watcher } = setUp({ startRevision: 5 });
    watcher.onEvents(events(5, 6));
    watcher.onEvents(events(5, 6, 7));
    watcher.onEvents(events(7));
    watcher.onEvents(events(8));
    const seen: number[] = [];
    for (let i = 0; i < 3; i++) {
      const step = await watcher.next();
      if (step.done !== true) seen.push(...step.value.events.map((e) => e.kv.modRevision));
    }
    expect(seen).toEqual([5, 6, 7, 8]);
  });

  it("never moves a watch of the future back", () => {
    const { watcher } = setUp({ startRevision: 100 });
    watcher.onCreated(created(7));
    watcher.onProgress(created(50));
    expect(watcher.createRequest().startRevision).toBe(100n);
  });

  it("parks at its limit, ignores what is still on the way, and comes back when half is read", async () => {
    const { watcher, calls } = setUp({ startRevision: 1, maxBufferedEvents: 2 });
    watcher.onEvents(events(1));
    watcher.onEvents(events(2));
    expect(watcher.parked).toBe(false);
    watcher.onEvents(events(3));
    expect(watcher.parked).toBe(true);
    watcher.onEvents(events(4));
    watcher.onProgress(created(9));
    expect(watcher.createRequest().startRevision).toBe(4n);
    await watcher.next();
    expect(calls).toEqual([]);
    await watcher.next();
    expect([watcher.parked, calls]).toEqual([false, ["unpark"]]);
  });

  it("delivers what it has before an error, tells the error once, and then is over", async () => {
    const { watcher, calls } = setUp({ startRevision: 1 });
    watcher.onEvents(events(1));
    watcher.onCanceled(create(WatchResponseSchema, { canceled: true, compactRevision: 9n }));
    expect((await watcher.next()).done).toBe(false);
    await expect(watcher.next()).rejects.toBeInstanceOf(CompactedError);
    expect((await watcher.next()).done).toBe(true);
    expect(calls).toEqual(["gone"]);
    await expect(watcher.created).rejects.toBeInstanceOf(CompactedError);
  });
});
