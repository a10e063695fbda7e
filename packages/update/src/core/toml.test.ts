import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { failsOnlyWith } from "../testing/fails-only-with.ts";
import { FormatError } from "./errors.ts";
import { parseToml } from "./toml.ts";

const parse = (text: string) => Object.fromEntries(parseToml(text, "f.toml"));

it("reads what Zincati's settings look like", () => {
  expect(
    parse(`
# comment
[updates]
strategy = "etcd-lock"   # why
enabled = true

[agent.timing]
steady_interval_secs = 3_00
[identity]
rollout_wariness = 0.5
"group" = 'work"ers'
[lock]
etcd_endpoints = [
  "http://a:2379", # one
  'http://b:2379',
]
dotted.key = [[1, 2], []]
escapes = "a\\t\\"\\u00e4"
`),
  ).toEqual({
    "updates.strategy": "etcd-lock",
    "updates.enabled": true,
    "agent.timing.steady_interval_secs": 300,
    "identity.rollout_wariness": 0.5,
    "identity.group": 'work"ers',
    "lock.etcd_endpoints": ["http://a:2379", "http://b:2379"],
    "lock.dotted.key": [[1, 2], []],
    "lock.escapes": 'a\t"ä',
  });
});

describe("refusals name file and line", () => {
  it.each([
    ["a = ", "f.toml, line 1: expected a value"],
    ["\na = immediate", 'f.toml, line 2: "immediate" is no value; texts are quoted'],
    ["a = 1 2", 'f.toml, line 1: unexpected "2"'],
    ["a = 1\na = 2", "f.toml, line 2: a is set twice"],
    ["[x]\nb=1\n[x]\nb=2", "f.toml, line 4: x.b is set twice"],
    ["[[a]]", "f.toml, line 1: lists of tables are not supported"],
    ["a = { b = 1 }", "f.toml, line 1: inline tables are not supported"],
    ['a = """x"""', "f.toml, line 1: texts over several lines are not supported"],
    ['a = "x', "f.toml, line 1: a text is not closed"],
    ["a = [1,\n2", "f.toml, line 1: a list is not closed"],
    ["= 1", "f.toml, line 1: expected a key"],
    ["a = 2026-01-01", 'f.toml, line 1: "2026-01-01" is no value; texts are quoted'],
    ["a = [[[[[1]]]]]", "f.toml, line 1: lists are nested more than 4 deep"],
    ['a = "\\q"', "f.toml, line 1: unknown escape \\q"],
  ])("%j", (text, message) => expect(() => parse(text)).toThrow(message));
});

it("no text makes it fail in another way, or hang", () => {
  const piece = fc.constantFrom("a", "=", "[", "]", '"', "'", "#", "\n", ",", ".", "1", " ", "true", "\\", "{");
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece, { maxLength: 40 }).map((p) => p.join("")),
      ),
      (text) => failsOnlyWith(FormatError, () => parseToml(text, "f")),
    ),
  );
});

it("texts round-trip as JSON writes them", () => {
  fc.assert(
    fc.property(fc.string(), (value) => {
      const quoted = JSON.stringify(value).replaceAll("\x7f", "\\u007f");
      expect(parseToml(`a = ${quoted}`, "f").get("a")).toBe(value);
    }),
  );
});
