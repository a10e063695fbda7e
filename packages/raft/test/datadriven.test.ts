import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { ConfChangeScript } from "./harness/confchange-commands.ts";
import { type Command, checkScript, parseScript, rewriteScript } from "./harness/datadriven.ts";
import { Env } from "./harness/env.ts";
import { runInteractionCommand } from "./harness/interaction.ts";
import { runQuorumCommand } from "./harness/quorum-commands.ts";

// UPDATE=1 rewrites the scripts of this package. RAFT_TESTDATA=<folder> also runs every *.txt below that folder, such as
// upstream's own testdata, and says how many were reproduced to the letter.
const own = fileURLToPath(new URL("../testdata", import.meta.url));
const update = process.env["UPDATE"] === "1";
const given = process.env["RAFT_TESTDATA"];

describe("scripts of this package", () => {
  it.each(scripts(own))("%s", (file) => {
    const path = join(own, file);
    const text = readFileSync(path, "utf8");
    if (update) writeFileSync(path, rewriteScript(text, file, runnerFor(text, file)));
    expectReproduced(readFileSync(path, "utf8"), file);
  });
});

describe("scripts of RAFT_TESTDATA", () => {
  if (given === undefined || given === "") {
    process.stdout.write("RAFT_TESTDATA was not given: no upstream scripts were run\n");
    it.skip("not run: RAFT_TESTDATA was not given (a folder of upstream's testdata)");
    return;
  }
  const files = scripts(given);
  let reproduced = 0;
  it.each(files)("%s", (file) => {
    expectReproduced(readFileSync(join(given, file), "utf8"), file);
    reproduced++;
  });
  afterAll(() => {
    process.stdout.write(`${reproduced} of ${files.length} files reproduced\n`);
  });
});

function scripts(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => path.endsWith(".txt") && statSync(path).isFile())
    .map((path) => relative(folder, path))
    .toSorted();
}

function expectReproduced(text: string, file: string): void {
  const [first] = checkScript(text, file, runnerFor(text, file));
  const at = first?.command.position;
  expect({ at, output: first?.actual }).toEqual({ at, output: first?.command.expected });
}

/** Which kind of script it is shows in its commands. */
function runnerFor(text: string, file: string): (c: Command) => string {
  const names = new Set(parseScript(text, file).map((s) => s.command?.name));
  if (names.has("committed") || names.has("vote")) return runQuorumCommand;
  if (names.has("simple") || names.has("enter-joint") || names.has("leave-joint")) {
    const script = new ConfChangeScript();
    return (c) => script.run(c);
  }
  const env = new Env();
  return (c) => runInteractionCommand(env, c);
}
