import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { claimDirectory, clusterDirectory, sweepDirectory } from "./record.ts";

let parent = "";
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "keelson-record-"));
});
afterEach(async () => await rm(parent, { recursive: true, force: true }));

it("is claimed once while its host lives", async () => {
  await claimDirectory(join(parent, "a"));
  await expect(claimDirectory(join(parent, "a"))).rejects.toThrow(
    `runs in ${parent}/a already (process ${process.pid})`,
  );
  await expect(sweepDirectory(join(parent, "a"))).rejects.toThrow("is starting or ending still");
  expect(await sweepDirectory(join(parent, "b"))).toBe(false);
  expect(await readdir(join(parent, "a"))).toEqual(["host.json"]);
});

it("is not made where others may write", async () => {
  await chmod(parent, 0o777);
  await expect(claimDirectory(join(parent, "a"))).rejects.toThrow(`${parent} is not yours alone`);
});

it.each(["../x", "a/b", "", ".hidden", "A", "x".repeat(21)])("refuses the name %j", (name) => {
  expect(() => clusterDirectory(name)).toThrow("is not 1 to 20 of a-z, 0-9");
});
