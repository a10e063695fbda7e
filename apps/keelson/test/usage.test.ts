import { afterAll, describe, expect, it } from "vitest";
import { CliBench } from "./bench.ts";

const bench = new CliBench();
afterAll(() => bench[Symbol.dispose]());

describe("wrong usage: exit code 2, the reason on standard error, nothing started", () => {
  it.each([
    [["frobnicate"], "unknown command 'frobnicate'"],
    [["cluster", "frobnicate"], "unknown command 'frobnicate'"],
    [["status", "--frobnicate"], "unknown option '--frobnicate'"],
    [["cluster", "up", "--machines", "0"], "give a whole number from 1 to 64"],
    [["cluster", "up", "--machines", "65"], "give a whole number from 1 to 64"],
    [["cluster", "up", "--machines", "two"], "give a whole number from 1 to 64"],
    [["cluster", "up", "--vm", "--container"], "cannot be used with option"],
    [["status", "-o", "yaml"], "give text or json"],
    [["kill"], "missing required argument 'machine'"],
    [["cluster", "up", "extra"], "too many arguments"],
  ])("%j", async (args, reason) => {
    const { code, out, err } = await bench.run(...args);
    expect(err).toContain(reason);
    expect([code, out]).toEqual([2, ""]);
    expect(bench.processes()).toEqual([]);
  });
});

it.each([["status"], ["kill", "m1"], ["heal"], ["logs", "m1"], ["exec", "m1", "true"]])(
  "%s: exit code 1 and what to do when no cluster runs",
  async (...args) => {
    const { code, out, err } = await bench.run(...args);
    expect([code, out, err]).toEqual([
      1,
      "",
      'keelson: no cluster default is running: start one with "keelson cluster up"\n',
    ]);
  },
);

it("refuses names that are no directory's", async () => {
  const { code, err } = await bench.run("cluster", "up", "--name", "../x");
  expect([code, err]).toEqual([1, 'keelson: cluster name "../x" is not 1 to 20 of a-z, 0-9 and "-"\n']);
});

it("helps", async () => {
  for (const args of [["--help"], ["cluster", "up", "--help"]]) {
    const { code, out, err } = await bench.run(...args);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain("Examples:");
  }
});
