import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Flag, FlagError, parseFlags, printDefaults } from "./go-flags.ts";
import { DEFAULT_ENDPOINTS, GLOBAL_FLAGS, readSettings } from "./settings.ts";

const FLAGS: readonly Flag[] = [
  { name: "debug", type: "bool", fallback: "false", usage: "d" },
  { name: "group", type: "string", fallback: "", usage: "g" },
  { name: "endpoint", type: "list", fallback: "", usage: "e" },
];
const parse = (line: string, isMixed = false) => {
  const { values, args } = parseFlags(line === "" ? [] : line.split(" "), FLAGS, isMixed);
  return [Object.fromEntries(values), args];
};

it.each([
  ["-debug -group g status", { debug: ["true"], group: ["g"] }, ["status"]],
  ["--group=g --debug=false x", { debug: ["false"], group: ["g"] }, ["x"]],
  ["-group= x", { group: [""] }, ["x"]],
  ["-endpoint a -endpoint b,c x", { endpoint: ["a", "b,c"] }, ["x"]],
  ["status -debug", {}, ["status", "-debug"]],
  ["-debug -- -group", { debug: ["true"] }, ["-group"]],
  ["-", {}, ["-"]],
  ["-group a -group b", { group: ["b"] }, []],
])("%s", (line, values, args) => expect(parse(line)).toEqual([values, args]));

it("flags behind words, where those are taken", () => {
  expect(parse("m1 -debug -- -x", true)).toEqual([{ debug: ["true"] }, ["m1", "-x"]]);
});

it.each([
  ["-x", "flag provided but not defined: -x"],
  ["--long=1", "flag provided but not defined: -long"],
  ["-group", "flag needs an argument: -group"],
  ["-debug=maybe", 'invalid boolean value "maybe" for -debug: parse error'],
  ["---debug", "bad flag syntax: ---debug"],
  ["-=1", "bad flag syntax: -=1"],
  ["-h", "flag: help requested"],
])("%s: %s", (line, text) => expect(() => parse(line)).toThrow(text));

it("no line makes it fail in another way", () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.boolean(), (argv, isMixed) => {
      try {
        parseFlags(argv, FLAGS, isMixed);
        return true;
      } catch (error) {
        return error instanceof FlagError;
      }
    }),
  );
});

it("Go's list of flags", () => {
  expect(printDefaults(FLAGS)).toBe("  -debug\n    \td\n  -group string\n    \tg\n  -endpoint value\n    \te\n");
});

describe("settings", () => {
  const settings = (line: string[], env: Record<string, string> = {}) =>
    readSettings(parseFlags(line, GLOBAL_FLAGS, false).values, env, "LOCKSMITHCTL");

  it("flags before environment before defaults", () => {
    const env = { LOCKSMITHCTL_GROUP: "env", LOCKSMITHCTL_ENDPOINT: "http://a:1, http://b:2", LOCKSMITHD_GROUP: "no" };
    expect(settings([], env)).toMatchObject({ group: "env", endpoints: ["http://a:1", "http://b:2"] });
    expect(settings(["-group", "flag", "-endpoint", "c"], env)).toMatchObject({ group: "flag", endpoints: ["c"] });
    expect(settings([], { LOCKSMITHCTL_GROUP: "" })).toMatchObject({ group: "", endpoints: DEFAULT_ENDPOINTS });
    expect(settings([], { LOCKSMITHCTL_ETCD_CAFILE: "/ca", LOCKSMITHCTL_DEBUG: "1" })).toMatchObject({
      caFile: "/ca",
      debug: true,
    });
  });

  it.each([
    [["-endpoint", "a,,b"], {}, "an -endpoint is empty"],
    [[], { LOCKSMITHCTL_DEBUG: "maybe" }, 'invalid boolean value "maybe" for -debug: parse error'],
  ])("%j %j is refused", (line, env, text) =>
    expect(() => settings(line, env as Record<string, string>)).toThrow(text),
  );
});
