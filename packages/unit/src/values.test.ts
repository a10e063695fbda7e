import { CoreError } from "@keelson/types";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseEnvironment, parseEnvironmentFile } from "./environment.ts";
import { expandVariables, parseExec } from "./exec.ts";
import { parseUnitName } from "./name.ts";
import { expandSpecifiers, unescapeName } from "./specifiers.ts";
import { attempt } from "./testing.ts";
import { parseBoolean, parseSignal, parseTimeSpan, signalName } from "./values.ts";
import { quoteWord, splitWords } from "./words.ts";

const texts = (value: string) => splitWords(value).map((word) => word.text);

describe("words", () => {
  it.each([
    ["a  b\tc", ["a", "b", "c"]],
    [`"a b" 'c "d'`, ["a b", 'c "d']],
    [`a"b c"d`, ["ab cd"]],
    ["a\\ b", ["a\\ b"]],
    ["\\n\\t\\s\\x41\\101\\u00e9", ["\n\t AAé"]],
    ["'' \"\"", ["", ""]],
    ["\\q \\x4", ["\\q", "\\x4"]],
    ["a\\", ["a\\"]],
  ])("splits %j", (value, want) => expect(texts(value)).toEqual(want));

  it.each(["'a", '"a', "\\x00", "\\xff", "\\ud800", "\\U00110000"])("refuses %j", (value) =>
    expect(() => texts(value)).toThrow(CoreError),
  );

  it("reads back what it quotes", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme" }).filter((s) => !s.includes("\0"))), (words) => {
        expect(texts(words.map(quoteWord).join(" "))).toEqual(words);
      }),
    );
  });
});

describe("Exec lines", () => {
  it("reads prefixes, names and several commands", () => {
    expect(parseExec("@-/bin/sh sh0 -c 'a; b' ; :+/bin/echo \\; $X")).toEqual([
      { path: "/bin/sh", args: ["-c", "a; b"], argv0: "sh0", ignoreFailure: true, literal: false },
      { path: "/bin/echo", args: [";", "$X"], ignoreFailure: false, literal: true, privilege: "+" },
    ]);
    expect(parseExec("!!echo")).toMatchObject([{ path: "echo", privilege: "!!" }]);
    expect(parseExec("")).toEqual([]);
  });

  it.each(["-", "./x", "a/b", "/bin/", "@/bin/sh", "'x"])("refuses %j", (line) =>
    expect(() => parseExec(line)).toThrow(CoreError),
  );

  it("replaces variables", () => {
    const environment = new Map([
      ["A", "1 2"],
      ["Q", "'x y' z"],
      ["BAD", "'x y"],
    ]);
    expect(expandVariables(["$A", "${A}", "a${A}b", "$Q", "$NO", "${NO}", "$$A", "$BAD", "a$A"], environment)).toEqual([
      "1",
      "2",
      "1 2",
      "a1 2b",
      "x y",
      "z",
      "",
      "$A",
      "'x",
      "y",
      "a$A",
    ]);
  });
});

describe("environment", () => {
  it("reads assignments", () => {
    expect(parseEnvironment(`A=1 "B=2 3" C= 'D=x=y'`)).toEqual([
      ["A", "1"],
      ["B", "2 3"],
      ["C", ""],
      ["D", "x=y"],
    ]);
    expect(() => parseEnvironment("A")).toThrow("not NAME=value");
    expect(() => parseEnvironment("1A=2")).toThrow("not NAME=value");
  });

  it("reads files", () => {
    const file = `# c\n; c\nA=1\n B = two words  \nC="q \\" \\$x \\n" tail\nD='a\nb'\nE=a\\\nb\nnonsense\n9=x\nF=\nG=x\\ \n`;
    expect(parseEnvironmentFile(file)).toEqual([
      ["A", "1"],
      ["B", "two words"],
      ["C", 'q " $x \\n tail'],
      ["D", "a\nb"],
      ["E", "ab"],
      ["F", ""],
      ["G", "x "],
    ]);
    expect(() => parseEnvironmentFile('A=1\nB="x')).toThrow("line 2, column 3: the quote");
  });
});

describe("scalars", () => {
  it.each([
    ["90", 90_000],
    ["1min 30s", 90_000],
    ["1min30s", 90_000],
    ["1.5h", 5_400_000],
    ["500ms", 500],
    ["2 weeks", 1_209_600_000],
    ["250us", 0.25],
    ["0", 0],
    ["infinity", Number.POSITIVE_INFINITY],
    [" 5 s ", 5000],
  ])("time span %j", (value, ms) => expect(parseTimeSpan(value)).toBe(ms));
  it.each(["", "x", "5 parsecs", "-1", "1..2", "s", ".", "5 constructor"])("refuses the time span %j", (value) =>
    expect(() => parseTimeSpan(value)).toThrow("is not a time span"),
  );
  it("reads booleans and signals", () => {
    expect([parseBoolean("Yes"), parseBoolean("off")]).toEqual([true, false]);
    expect(() => parseBoolean("maybe")).toThrow("is not a boolean");
    expect([parseSignal("SIGTERM"), parseSignal("KILL"), parseSignal("2")]).toEqual([15, 9, 2]);
    expect([signalName(15), signalName(40)]).toEqual(["SIGTERM", "40"]);
    expect(() => parseSignal("toString")).toThrow("is not a signal");
    expect(() => parseSignal("0")).toThrow("is not a signal");
  });
});

describe("specifiers", () => {
  const unit = parseUnitName("a-web@x\\x2dy-z.service");
  it.each([
    ["%n|%N|%p|%i", "a-web@x\\x2dy-z.service|a-web@x\\x2dy-z|a-web|x\\x2dy-z"],
    ["%I|%P|%j", "x-y/z|a/web|web"],
    ["100%%|%H|%", "100%|host|%"],
  ])("expands %s", (value, want) => expect(expandSpecifiers(value, unit, { hostname: "host" })).toBe(want));
  it.each(["%m", "%Q", "%o"])("refuses %s when it is not known", (value) =>
    expect(() => expandSpecifiers(value, unit, {})).toThrow("is not supported here"),
  );
  it("unescapes bytes to characters", () => expect(unescapeName("\\xc3\\xa9-\\x")).toBe("é/\\x"));
});

it("throws nothing but typed errors, whatever the input", () => {
  const parsers: ((text: string) => unknown)[] = [
    splitWords,
    parseExec,
    parseEnvironment,
    parseEnvironmentFile,
    parseTimeSpan,
    parseBoolean,
    parseSignal,
    (s) => expandSpecifiers(s, parseUnitName("a@b.service"), {}),
  ];
  const text = fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[a $\\"'%={}x0-9;@:!+-]{0,30}$/));
  fc.assert(
    fc.property(text, fc.constantFrom(...parsers), (value, parser) => {
      attempt(() => parser(value));
    }),
    { numRuns: 2000 },
  );
});

it("takes no catastrophic time on long hostile input", () => {
  const start = performance.now();
  for (const char of ["\\", "'", '"', " ", "$", "${", "=", "a", "1", "%%", ";"]) {
    for (const parser of [splitWords, parseExec, parseEnvironmentFile, parseTimeSpan]) {
      attempt(() => parser(char.repeat(100_000)));
    }
  }
  expect(performance.now() - start).toBeLessThan(5000);
});
