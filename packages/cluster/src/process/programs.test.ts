import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { programsOfRepository } from "./programs.ts";

/** A repository whose bundler copies the app's name. */
const BUNDLER = `
import { mkdirSync, writeFileSync } from "node:fs";
const [app, out] = process.argv.slice(2);
mkdirSync(out, { recursive: true });
writeFileSync(out + "/" + app.split("/").at(-1) + ".mjs", "");
`;
let repository = "";
beforeEach(async () => {
  repository = await mkdtemp(join(tmpdir(), "keelson-programs-"));
  for (const folder of ["scripts", "packages/a/src", "apps/etcd/src"])
    await mkdir(join(repository, folder), { recursive: true });
  await writeFile(join(repository, "packages/a/src/a.ts"), "1");
});
afterEach(async () => await rm(repository, { recursive: true }));

const bundles = () => readdir(join(repository, "out/programs"));

it("bundles once for the same sources, and anew when one has changed", async () => {
  await writeFile(join(repository, "scripts/bundle.ts"), BUNDLER);
  const both = await Promise.all([programsOfRepository(repository), programsOfRepository(repository)]);
  expect(both[0]).toEqual(both[1]);
  expect(await bundles()).toHaveLength(1);
  expect(await programsOfRepository(repository)).toEqual(both[0]);
  await writeFile(join(repository, "packages/a/src/a.test.ts"), "not in a bundle");
  expect(await programsOfRepository(repository)).toEqual(both[0]);
  await writeFile(join(repository, "packages/a/src/a.ts"), "22");
  expect(await programsOfRepository(repository)).not.toEqual(both[0]);
  expect(await bundles()).toHaveLength(2);
});

it("runs the sources where bundling fails, and leaves nothing half done", async () => {
  const { etcd, fleetd } = await programsOfRepository(repository);
  expect(etcd).toEqual([process.execPath, join(repository, "apps/etcd/src/main.ts")]);
  expect(fleetd).toEqual([process.execPath, join(repository, "apps/fleetd/src/main.ts")]);
  expect(await bundles()).toEqual([]);
});
