import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { builtKey, pinImage, publish, storeOf } from "./store.ts";

let output = "";
beforeEach(async () => {
  output = join(await mkdtemp(join(tmpdir(), "keelson-store-")), "image");
});
afterEach(async () => {
  await rm(join(output, ".."), { recursive: true });
});

async function build(name: string): Promise<string> {
  const image = join(storeOf(output), name);
  await mkdir(image, { recursive: true });
  await writeFile(join(image, "manifest.json"), JSON.stringify({ inputs: { key: name } }));
  await publish(image, output);
  return image;
}

it("moves the output to the new image and removes the old one", async () => {
  await build("one");
  expect(await builtKey(output)).toBe("one");
  await build("two");
  expect(await builtKey(output)).toBe("two");
  expect(await readdir(storeOf(output))).toEqual(["two"]);
});

it("keeps an image that is pinned until it is released", async () => {
  await build("one");
  const pin = await pinImage(output);
  await build("two");
  expect(basename(pin.directory)).toBe("one");
  expect((await readdir(storeOf(output))).toSorted()).toEqual(["one", "two"]);
  await pin[Symbol.asyncDispose]();
  await build("three");
  expect(await readdir(storeOf(output))).toEqual(["three"]);
});

it("removes images of users that are gone, and the rests of crashed builds", async () => {
  const one = await build("one");
  await mkdir(join(one, "users"));
  await writeFile(join(one, "users", "999999999-abcd"), "");
  await mkdir(join(storeOf(output), "x.work-999999999"));
  await mkdir(join(storeOf(output), `y.work-${process.pid}`));
  await build("two");
  expect((await readdir(storeOf(output))).toSorted()).toEqual(["two", `y.work-${process.pid}`]);
});

it("says to build when there is none, and what is in the way", async () => {
  await expect(pinImage(output)).rejects.toThrow(/run osctl build/);
  await mkdir(output);
  await expect(build("one")).rejects.toThrow(/is in the way/);
});
