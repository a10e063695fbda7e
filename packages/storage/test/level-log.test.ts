import { Prng, tempDir } from "@keelson/testkit";
import { ClassicLevel } from "classic-level";
import { expect, it } from "vitest";
import { LevelLog } from "../src/level-log.ts";

const WRITE_BUFFER = 128 * 1024;

it("foresees every switch of the log, for entries of every size, and not too often", async () => {
  for (const [from, to] of [
    [0, 10],
    [50, 300],
    [300, 1_100],
    [1_000, 5_000],
    [0, 60_000],
  ] as const) {
    await using dir = await tempDir("log");
    const db = new ClassicLevel<Uint8Array, Uint8Array>(dir.path, { keyEncoding: "view", valueEncoding: "view" });
    await db.open({ writeBufferSize: WRITE_BUFFER });
    await using log = await LevelLog.follow(dir.path, WRITE_BUFFER);
    const rng = new Prng(`log ${to}`);
    let batches = 0;
    let safe = 0;
    const surprises: number[] = [];
    while (log.switches < 6) {
      const before = { stays: log.staysInFile, switches: log.switches };
      const ops = Array.from({ length: rng.between(1, 5) }, () => ({
        type: "put" as const,
        key: rng.bytes(rng.between(1, 30)),
        value: rng.bytes(rng.between(from, to)),
      }));
      await db.batch(ops);
      await log.afterWrite(ops.length);
      batches++;
      if (before.stays) safe++;
      if (before.stays && log.switches > before.switches) surprises.push(batches);
    }
    // Large entries leave few batches per file; small ones must mostly take the short way.
    const share = safe / batches;
    expect({ from, to, surprises, isUseful: to > 1_100 || share > 0.5, share }).toMatchObject({
      surprises: [],
      isUseful: true,
    });
    await db.close();
  }
});
