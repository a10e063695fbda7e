import { cp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { openLevelStore } from "@keelson/storage";
import { Prng, runProcess, startProcess, type TempDir, tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";
import { scanAll } from "./contract.ts";

const key = (i: number) => Buffer.from(`key${String(i).padStart(5, "0")}`);
const value = (i: number) => Buffer.from(`value ${i} `.repeat(10));

it("has everything acknowledged after SIGKILL, again and again on one directory", async () => {
  await using dir = await tempDir("kill");
  const rng = new Prng("kill");
  let acknowledged = 0;
  for (let round = 0; round < 8; round++) {
    await using child = startProcess(process.execPath, [`${import.meta.dirname}/writer.ts`, dir.join("store")], {
      linesMax: 1e6,
    });
    await child.waitForLine(new RegExp(`^\\(?${acknowledged + rng.between(1, 400)}\\)?$`));
    child.killTree("SIGKILL");
    await child.waitForExit();
    acknowledged = Math.max(
      acknowledged,
      ...child.lines().map((line) => (/^\d+$/.test(line.text) ? Number(line.text) : 0)),
    );
    await using store = await openLevelStore(dir.join("store"));
    const numbers = (await scanAll(store)).map(([, v]) => Number(Buffer.from(v).toString()));
    expect(numbers.length).toBeGreaterThanOrEqual(acknowledged);
    // Whole batches, in order, without a hole: each holds its number under its own key.
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => i + 1));
    acknowledged = numbers.length;
  }
});

it("notices any damaged byte of any file when it opens, and changes nothing", async () => {
  await using dir = await tempDir("damage");
  await fill(dir);
  const rng = new Prng("damage");
  const names = (await readdir(dir.join("good"))).filter((name) => !["LOCK", "LOG", "LOG.old"].includes(name));
  let tried = 0;
  for (const name of names) {
    const good = await readFile(dir.join("good", name));
    for (let i = 0; i < 40 && good.length > 0; i++) {
      // Half of the tries near the end, where tables and logs keep what matters most.
      const at = rng.chance(0.5) ? rng.below(good.length) : good.length - 1 - rng.below(Math.min(good.length, 2_000));
      const bad = Buffer.from(good);
      bad[at] = (bad[at] as number) ^ (1 << rng.below(8));
      await writeFile(dir.join("good", name), bad);
      const before = await contents(dir.join("good"));
      const outcome = await openLevelStore(dir.join("good")).catch((error: unknown) => error);
      const reason = name === "KEELSON-STORE" ? "foreign" : "corrupt";
      expect({ name, at, outcome }).toMatchObject({ name, at, outcome: { code: "ERR_STORE_OPEN", reason } });
      expect(await contents(dir.join("good"))).toEqual(before);
      tried++;
    }
    await writeFile(dir.join("good", name), good);
  }
  expect(tried).toBeGreaterThan(200);
  await using store = await openLevelStore(dir.join("good"));
  expect(await scanAll(store)).toHaveLength(3_000);
});

it("notices any file that is missing", async () => {
  await using dir = await tempDir("missing");
  await fill(dir);
  for (const name of await readdir(dir.join("good"))) {
    if (["LOCK", "LOG", "LOG.old"].includes(name)) continue;
    await cp(dir.join("good"), dir.join("copy"), { recursive: true });
    await rm(dir.join("copy", name));
    const outcome = await openLevelStore(dir.join("copy")).catch((error: unknown) => error);
    expect({ name, outcome }).toMatchObject({ name, outcome: { code: "ERR_STORE_OPEN" } });
    await rm(dir.join("copy"), { recursive: true });
  }
});

it("drops a log's end that a crash cut off, and opens", async () => {
  await using dir = await tempDir("torn");
  await fill(dir);
  const log = (await readdir(dir.join("good"))).find((name) => name.endsWith(".log")) ?? "";
  const bytes = await readFile(dir.join("good", log));
  await writeFile(dir.join("good", log), bytes.subarray(0, bytes.length - 20));
  await using store = await openLevelStore(dir.join("good"));
  expect(store.get(key(2_999))).toBeUndefined();
  expect(store.get(key(2_998))).toEqual(new Uint8Array(value(2_998)));
});

it("says who stands in the way", async () => {
  await using dir = await tempDir("open");
  {
    await using _held = await openLevelStore(dir.join("store"));
    await expect(openLevelStore(dir.join("store"))).rejects.toMatchObject({ reason: "locked" });
    await rename(dir.join("store", "CURRENT"), dir.join("store", "CURRENT.away"));
    await expect(openLevelStore(dir.join("store"))).rejects.toMatchObject({ reason: "locked" });
    await rename(dir.join("store", "CURRENT.away"), dir.join("store", "CURRENT"));
  }
  const open = `import("@keelson/storage").then((s) => s.openLevelStore(${JSON.stringify(dir.join("store"))})).then(() => console.log("open"), (e) => console.log(e.reason))`;
  await using _mine = await openLevelStore(dir.join("store"));
  expect((await runProcess(process.execPath, ["-e", open], { cwd: import.meta.dirname })).stdout).toBe("locked\n");

  await writeFile(dir.join("file"), "");
  await expect(openLevelStore(dir.join("file"))).rejects.toMatchObject({ reason: "io", path: dir.join("file") });
  await cp(import.meta.dirname, dir.join("other"), { recursive: true });
  await expect(openLevelStore(dir.join("other"))).rejects.toThrow(/not part of a store/);
});

/** A store with tables, a manifest and a log. */
async function fill(dir: TempDir): Promise<void> {
  await using store = await openLevelStore(dir.join("good"), { writeBufferBytes: 128 * 1024 });
  for (let i = 0; i < 3_000; i++)
    await store.write([{ type: "put", key: key(i), value: value(i) }], { sync: i % 1_000 === 0 });
}

async function contents(path: string): Promise<Map<string, string>> {
  const names = (await readdir(path)).toSorted();
  return new Map(
    await Promise.all(
      names.map(async (name) => [name, (await readFile(`${path}/${name}`)).toString("base64")] as const),
    ),
  );
}
