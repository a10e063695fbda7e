import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Io } from "./io.ts";
import { COMMANDS, runProgram } from "./program.ts";

async function rkt(argv: readonly string[], isRoot = true): Promise<{ exitCode: number; out: string; err: string }> {
  const [out, err]: [string[], string[]] = [[], []];
  const io: Io = {
    out: (text) => void out.push(text),
    err: (line) => void err.push(`${line}\n`),
    isWatched: false,
    isTerminal: false,
    environment: {},
    nowMs: () => 0,
    signal: new AbortController().signal,
    become: () => Promise.reject(new Error("nothing is to be run here")),
  };
  const exitCode = await runProgram(argv, io, isRoot);
  return { exitCode, out: out.join(""), err: err.join("") };
}

describe("rkt", () => {
  it("tells its version, and every command with its flags and an example", async () => {
    expect((await rkt(["version"])).out).toMatch(/^rkt Version: \d+\.\d+\.\d+ \(Keelson\)\n/);
    const { out, exitCode } = await rkt(["help"]);
    expect(exitCode).toBe(0);
    for (const name of Object.keys(COMMANDS)) {
      expect(out).toContain(`  ${name} `);
      for (const argv of [
        ["help", ...name.split(" ")],
        [...name.split(" "), "--help"],
      ]) {
        const one = await rkt(argv);
        expect(one.exitCode).toBe(0);
        expect(one.out).toContain(`Usage: rkt ${name}`);
        expect(one.out).toContain("Example");
      }
    }
    expect(await rkt([])).toMatchObject({ exitCode: 2 });
  });

  it("is for root, but for what touches nothing", async () => {
    for (const name of Object.keys(COMMANDS).filter((each) => each !== "generate")) {
      expect(await rkt([...name.split(" "), "x"], false)).toMatchObject({
        exitCode: 254,
        err: `rkt: rkt ${name} has to be run as root\n`,
      });
    }
  });

  it.each([
    [["frobnicate"], 'there is no command "frobnicate"'],
    [["image"], 'there is no command "image'],
    [["image", "frobnicate"], "there is no command"],
    [["list", "--frobnicate"], "there is no flag --frobnicate"],
    [["status"], "give one pod"],
    [["status", "a", "b"], "give one pod"],
    [["status", "--wait"], "--wait needs a value"],
    [["status", "--wait=soon", "a"], "--wait:"],
    [["stop"], "give the pods to stop"],
    [["rm"], "give the pods to rm"],
    [["gc", "now"], "gc takes no words"],
    [["gc", "--grace-period=-1s"], "--grace-period"],
    [["logs", "--lines=-5", "x"], "--lines"],
    [["logs", "--output=$(id)", "x"], "--output"],
    [["exec"], "give the pod to enter"],
    [["exec", "x"], "give the command to run"],
    [["run"], "no image is given"],
    [["run", "--memory=1Gi", "x"], "--memory belongs to an app"],
    [["run", "x", "--memory=lots"], "--memory:"],
    [["run", "--interactive", "x"], "needs a terminal"],
    [["run", "--interactive", "x", "y"], "one app in the foreground"],
    [["prepare", "--net=a/b", "x"], "--net:"],
    [["run-prepared"], "give the uuid"],
    [["generate"], "give one file"],
    [["generate", "/etc/passwd"], "ends in .container"],
    [["generate", "/nonexistent.container"], "cannot be read"],
    [["fetch"], "give the images"],
    [["image", "rm"], "give the images"],
    [["--frobnicate", "list"], "there is no command"],
  ])("answers %j with one line and 254", async (argv, message) => {
    const { exitCode, err, out } = await rkt(argv);
    expect(err).toContain(message);
    expect(err.split("\n")).toHaveLength(2);
    expect({ exitCode, out }).toEqual({ exitCode: 254, out: "" });
  });

  it("refuses any value of any flag that it does not understand, with 254", async () => {
    // Commands that end before anything is touched, whatever their flags say: no pod or image is named.
    const names = Object.entries(COMMANDS).filter(([name]) =>
      ["status", "stop", "rm", "exec", "fetch", "image rm", "logs", "run-prepared"].includes(name),
    );
    const word = fc.oneof(
      fc.string(),
      fc.constantFrom("--", "-", "--=", "--force=maybe", "--app", "-f=", "--__proto__", "--constructor=1"),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...names), fc.array(word, { maxLength: 3 }), async ([name, spec], words) => {
        const flags = Object.keys(spec.flags).map((flag) => `--${flag}=\0`);
        fc.pre(
          words.every(
            (each) => each.startsWith("-") && each !== "-" && each !== "--" && !each.includes("help") && each !== "-h",
          ),
        );
        const { exitCode } = await rkt([...name.split(" "), ...words, ...flags]);
        expect([1, 254]).toContain(exitCode);
      }),
      { numRuns: 200 },
    );
  });
});
