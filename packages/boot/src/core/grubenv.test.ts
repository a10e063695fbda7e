import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeGrubenv, encodeGrubenv, GRUBENV_BYTES, grubenvFromView, viewFromGrubenv } from "./grubenv.ts";

const variables = fc
  .dictionary(fc.stringMatching(/^[a-z_]{1,8}$/), fc.stringMatching(/^[\x20-\x7e]{0,20}$/), { maxKeys: 6 })
  .map((record) => new Map(Object.entries(record)));

describe("an environment block", () => {
  it("round-trips", () => {
    fc.assert(
      fc.property(variables, (v) => {
        const block = encodeGrubenv(v);
        expect(block.length).toBe(GRUBENV_BYTES);
        expect(decodeGrubenv(block)).toEqual(v);
      }),
    );
  });

  it("never throws anything but BootStateError for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: GRUBENV_BYTES, maxLength: GRUBENV_BYTES }), (bytes) => {
        expect(() => decodeGrubenv(bytes)).toThrow(/does not begin/);
        const block = encodeGrubenv(new Map());
        block.set(bytes.subarray(0, 900), 25);
        expect(decodeGrubenv(block)).toBeInstanceOf(Map);
      }),
    );
  });

  const views = fc.record({
    default: fc.constant("keelson-12"),
    trial: fc.option(
      fc
        .integer({ min: 1, max: 9 })
        .chain((of) => fc.nat(of).map((left) => ({ id: "keelson-13", triesLeft: left, triesDone: of - left }))),
      { nil: undefined },
    ),
  });
  it("holds a loader's view", () => {
    fc.assert(
      fc.property(views, ({ default: good, trial }) => {
        const view = { default: good, ...(trial === undefined ? {} : { trial }) };
        expect(viewFromGrubenv(decodeGrubenv(encodeGrubenv(grubenvFromView(view))))).toEqual(view);
      }),
    );
  });

  it("with a broken counter is a used-up trial", () => {
    const view = viewFromGrubenv(
      new Map([
        ["default", "keelson-1"],
        ["trial", "keelson-2"],
        ["tries", "x"],
      ]),
    );
    expect(view.trial).toEqual({ id: "keelson-2", triesLeft: 0, triesDone: 0 });
  });
});

const editenv = spawnSync("grub-editenv", ["--version"]).status === 0;
if (!editenv) process.stdout.write("not compared with grub-editenv: apt-get install grub-common\n");
describe.skipIf(!editenv)("GRUB's own tool", () => {
  it("reads what we write, and we read what it writes", () => {
    const dir = mkdtempSync(join(tmpdir(), "keelson-grubenv-"));
    const file = join(dir, "grubenv");
    const seen = fc.sample(variables, 20).concat(
      new Map([
        ["a", "b\\c"],
        ["tries", "3"],
      ]),
    );
    for (const v of seen) {
      writeFileSync(file, encodeGrubenv(v));
      const { stdout } = spawnSync("grub-editenv", [file, "list"], { encoding: "utf8" });
      expect(stdout.split("\n").filter(Boolean).toSorted()).toEqual([...v].map(([n, x]) => `${n}=${x}`).toSorted());
      expect(spawnSync("grub-editenv", [file, "set", "tries=2", "other=a\\b c"]).status).toBe(0);
      expect(decodeGrubenv(readFileSync(file))).toEqual(new Map([...v, ["tries", "2"], ["other", "a\\b c"]]));
    }
    rmSync(dir, { recursive: true });
  });
});
