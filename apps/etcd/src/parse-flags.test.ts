import fc from "fast-check";
import { expect, it } from "vitest";
import { toConfig } from "./config.ts";
import { parseConfigFile } from "./config-file.ts";
import { addEnvironment, helpText, parseDurationMs, parseFlags, UsageError } from "./parse-flags.ts";

it.each<[string, string[], Record<string, string>]>([
  ["a space before the value", ["--name", "a"], { name: "a" }],
  ["one dash", ["-name=a"], { name: "a" }],
  ["an equals sign within the value", ["--initial-cluster=a=http://h:1"], { "initial-cluster": "a=http://h:1" }],
  ["a bool without a value", ["--pre-vote", "--name=x"], { "pre-vote": "true", name: "x" }],
  ["a bool with one", ["--pre-vote=false"], { "pre-vote": "false" }],
  ["flags of the past", ["--cluster-active-size=3", "--name=x"], { name: "x" }],
  ["the last of several", ["--name=x", "--name=y"], { name: "y" }],
])("takes %s", (_title, args, want) => expect(Object.fromEntries(parseFlags(args).values)).toEqual(want));

it.each<[string, string[], number]>([
  ["an unknown flag", ["--nope"], 2],
  ["a missing value", ["--name"], 2],
  ["a word", ["name"], 1],
  ["a number that is none", ["--max-txn-ops=x"], 2],
  ["a duration that is none", ["--watch-progress-notify-interval=5"], 2],
  ["three dashes", ["---name=a"], 2],
])("refuses %s", (_title, args, exitCode) => {
  expect(() => parseFlags(args)).toThrow(expect.objectContaining({ code: "ERR_USAGE", exitCode }));
});

it("adds variables, names those that mean nothing, and refuses a flag that is also a variable", () => {
  const flags = new Map([["name", "a"]]);
  const { values, unknown } = addEnvironment(flags, {
    ETCD_DATA_DIR: "/d",
    ETCD_VERSION: "3",
    ETCD_X: "1",
    PATH: "/bin",
  });
  expect(Object.fromEntries(values)).toEqual({ name: "a", "data-dir": "/d" });
  expect(unknown).toEqual(["ETCD_VERSION", "ETCD_X"]);
  expect(() => addEnvironment(flags, { ETCD_NAME: "b" })).toThrow(/ETCD_NAME/);
});

it.each<[string, number | undefined]>([
  ["10m", 600_000],
  ["1h30m", 5_400_000],
  ["1.5s", 1_500],
  ["250ms", 250],
  ["5000000000ns", 5_000],
  ["0", 0],
  ["5", undefined],
  ["m", undefined],
])("the duration %s is %s ms", (text, ms) => expect(parseDurationMs(text)).toBe(ms));

it("kubeadm's flags are understood, up to those for encryption", () => {
  const args = [
    "--name=n1",
    "--feature-gates=InitialCorruptCheck=true",
    "--listen-client-urls=http://127.0.0.1:2379,http://10.0.0.1:2379",
    "--advertise-client-urls=http://10.0.0.1:2379",
    "--listen-peer-urls=http://10.0.0.1:2380",
    "--initial-advertise-peer-urls=http://10.0.0.1:2380",
    "--data-dir=/var/lib/etcd",
    "--snapshot-count=10000",
    "--listen-metrics-urls=http://127.0.0.1:2381",
    "--watch-progress-notify-interval=5s",
    "--initial-cluster=n1=http://10.0.0.1:2380",
  ];
  const { options, ignored } = toConfig(parseFlags(args).values);
  expect(options).toMatchObject({ name: "n1", watchProgressNotifyMs: 5_000, snapshotCount: 10_000 });
  expect(ignored).toEqual(["feature-gates"]);
  expect(() => toConfig(parseFlags(["--client-cert-auth=true"]).values)).toThrow(/not supported yet/);
});

it("the help names every flag", () => expect(helpText()).toMatch(/--initial-cluster-token 'etcd-cluster'/));

function failureOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    if (!(error instanceof UsageError)) return error;
  }
  return "none or usage";
}

it("no command line makes the parser fail in another way than a usage error", () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom("--name", "-name=x", "--", "-", "--pre-vote", "--max-txn-ops", "=", "--=x"),
  );
  fc.assert(
    fc.property(fc.array(word), (args) => {
      expect(failureOf(() => toConfig(parseFlags(args).values))).toBe("none or usage");
    }),
  );
});

it("no configuration file makes the parser fail in another way than a usage error", () => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom("name: x", "name:", "max-txn-ops: 5", "  nested: 1", "# c", "{", "[]"),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      expect(failureOf(() => toConfig(parseConfigFile(lines.join("\n"), "f")))).toBe("none or usage");
    }),
  );
});

it("reads YAML lines and JSON alike", () => {
  const yaml = 'name: "a" # c\nheartbeat-interval: 50\nwatch-progress-notify-interval: 5000000000\n';
  const json = '{"name":"a","heartbeat-interval":50,"watch-progress-notify-interval":5000000000}';
  expect(parseConfigFile(yaml, "f")).toEqual(parseConfigFile(json, "f"));
  expect(() => parseConfigFile("nope: 1", "f")).toThrow(/unknown key "nope"/);
});
