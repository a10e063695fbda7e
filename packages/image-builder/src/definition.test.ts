import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { readDefinition } from "./definition.ts";

const IMAGE = new URL("../../../image", import.meta.url).pathname;
const made: string[] = [];
afterEach(async () => {
  for (const dir of made.splice(0)) await rm(dir, { recursive: true });
});

async function broken(file: string, change: (text: string) => string): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "keelson-image-"));
  made.push(dir);
  await cp(IMAGE, dir, { recursive: true });
  await writeFile(join(dir, file), change(await readFile(join(dir, file), "utf8")));
  return dir;
}

it("reads the repository's own image", async () => {
  const definition = await readDefinition(IMAGE);
  expect(definition.settings.suite).toBe("trixie");
  expect(definition.packages).toContain("systemd");
  expect(definition.initramfsModules).toContain("virtio_blk");
});

it.each([
  ["image.json", () => "{", /image\.json is not JSON/],
  ["image.json", (text: string) => text.replace('"rootMiB"', '"rootMB"'), /rootMB[\s\S]*rootMiB/],
  ["packages.txt", (text: string) => `${text}two words\n`, /packages\.txt: "two words" is not one name/],
  ["masks.txt", (text: string) => `${text}getty.target\n`, /masks\.txt: getty\.target is there twice/],
  ["excludes.txt", (text: string) => `${text}relative/path\n`, /excludes\.txt/],
])("refuses a broken %s, naming it", async (file, change, want) => {
  await expect(readDefinition(await broken(file, change))).rejects.toThrow(want);
});

it("names a file that is missing", async () => {
  await expect(readDefinition("/nonexistent")).rejects.toThrow(/cannot read \/nonexistent/);
});
