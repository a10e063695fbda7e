import { expect, it } from "vitest";
import type { UnitStatus } from "../ports.ts";
import type { Bench } from "./harness.ts";

/** What a unit says, and what is said about it. */
export function journalTests(bench: Bench): void {
  it("gives the newest lines of both streams, oldest first", async () => {
    const name = await bench.service("lines", [
      "Type=oneshot",
      "ExecStart=/bin/sh -c 'for i in 1 2 3 4 5; do echo mark:$i; done; echo mark:err >&2; printf mark:open'",
    ]);
    await bench.manager.start(name);
    await expect.poll(() => bench.marks(name), { timeout: 10_000 }).toContain("open");
    expect((await bench.marks(name)).toSorted()).toEqual(["1", "2", "3", "4", "5", "err", "open"]);
    expect((await bench.marks(name)).filter((mark) => /\d/.test(mark))).toEqual(["1", "2", "3", "4", "5"]);
    const last: string[] = [];
    for await (const line of bench.manager.journal(name, { lines: 2 })) last.push(line);
    expect(last).toHaveLength(2);
    for await (const line of bench.manager.journal(name, { lines: 0 })) expect.unreachable(line);
  });

  it("follows a unit until the reader has enough", async () => {
    const name = await bench.service("follow", [
      "ExecStart=/bin/sh -c 'i=0; while :; do i=$((i+1)); echo mark:$i.; sleep 0.05; done'",
    ]);
    await bench.manager.start(name);
    const seen: number[] = [];
    for await (const line of bench.manager.journal(name, { lines: 1000, follow: true })) {
      const mark = /mark:(\d+)\./.exec(line)?.[1];
      if (mark !== undefined) seen.push(Number(mark));
      if (seen.length === 10) break;
    }
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it("ends following when its signal aborts", async () => {
    const name = await bench.service("quiet", ["ExecStart=/bin/sleep 1000"]);
    await bench.manager.start(name);
    const signal = AbortSignal.timeout(300);
    for await (const line of bench.manager.journal(name, { lines: 0, follow: true, signal }))
      expect(line).toBeTypeOf("string");
    expect(signal.aborted).toBe(true);
  });

  it("tells subscribers of changes until they leave", async () => {
    const name = await bench.service("watched", ["ExecStart=/bin/sleep 1000"]);
    const seen: UnitStatus[] = [];
    const subscription = bench.manager.subscribe((status) => {
      if (status.name === name) seen.push(status);
    });
    await bench.manager.start(name);
    await expect.poll(() => seen.at(-1)?.activeState, { timeout: 10_000 }).toBe("active");
    expect(seen.at(-1)).toMatchObject({ loadState: "loaded", subState: "running" });
    await bench.manager.stop(name);
    await expect.poll(() => seen.at(-1)?.activeState, { timeout: 10_000 }).toBe("inactive");
    subscription[Symbol.dispose]();
    const count = seen.length;
    await bench.manager.start(name);
    await bench.until(name, { activeState: "active" });
    expect(seen).toHaveLength(count);
  });

  it("tells subscribers of a crash that nobody asked for", async () => {
    const name = await bench.service("crash", ["ExecStart=/bin/sh -c 'sleep 0.3; exit 5'"]);
    const seen: UnitStatus[] = [];
    using _subscription = bench.manager.subscribe((status) => {
      if (status.name === name) seen.push(status);
    });
    await bench.manager.start(name);
    await expect
      .poll(() => seen.at(-1), { timeout: 10_000 })
      .toMatchObject({ activeState: "failed", execMainStatus: 5 });
  });
}
