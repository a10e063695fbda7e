import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, closeSync, constants, openSync, readFileSync, statSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { type ExecCommand, expandVariables, parseEnvironmentFile, UnitSyntaxError } from "@keelson/unit";
import type { Output, ServiceConfig } from "../core/service-config.ts";

/** Source: systemd.exec(5), "Process exit codes". */
const EXIT_CHDIR = 200;
const EXIT_EXEC = 203;

/** A command that did not come to life. Without a code, what it needs could not be prepared. */
export interface SpawnFailure {
  readonly code?: number;
  readonly reason: string;
}

/** What a command is started with beside the unit's settings. */
export interface SpawnContext {
  /** Stands before the manager's PATH. */
  readonly binDirectory: string;
  readonly hostEnvironment: Readonly<Record<string, string | undefined>>;
  /** INVOCATION_ID, MAINPID, SERVICE_RESULT… */
  readonly variables: Readonly<Record<string, string>>;
}

/** Starts one command of a unit in a session of its own, with pipes where the journal reads. Synchronous. */
export function spawnCommand(
  config: ServiceConfig,
  command: ExecCommand,
  context: SpawnContext,
): ChildProcess | SpawnFailure {
  let environment: Map<string, string>;
  try {
    environment = buildEnvironment(config, context);
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  }
  const cwd = config.workingDirectory;
  const hasCwd = cwd !== undefined && isDirectory(cwd.path);
  if (cwd !== undefined && !hasCwd && !cwd.optional)
    return { code: EXIT_CHDIR, reason: `the working directory ${cwd.path} does not exist` };
  const path = findProgram(command.path, environment.get("PATH") ?? "");
  if (path === undefined)
    return { code: EXIT_EXEC, reason: `the program ${command.path} does not exist or is not executable` };

  const opened: number[] = [];
  try {
    const [stdout, stderr] = openOutputs(config, opened);
    const child = spawn(path, command.literal ? [...command.args] : expandVariables(command.args, environment), {
      argv0: command.argv0 ?? command.path,
      cwd: hasCwd ? cwd.path : "/",
      env: Object.fromEntries(environment),
      stdio: ["ignore", stdout, stderr],
      detached: true, // a session of its own: the whole of it can be killed, and no terminal signal reaches it
    });
    child.on("error", () => {}); // told by the missing pid
    if (child.pid === undefined) return { code: EXIT_EXEC, reason: `the program ${path} could not be executed` };
    return child;
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  } finally {
    for (const fd of opened) closeSync(fd);
  }
}

/** Lowest first: the manager's own, PassEnvironment=, Environment=, EnvironmentFile=, what the manager knows. */
function buildEnvironment(config: ServiceConfig, context: SpawnContext): Map<string, string> {
  const host = context.hostEnvironment;
  const environment = new Map<string, string>([
    ["PATH", `${context.binDirectory}${delimiter}${host["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"}`],
    ["HOME", homedir()],
    ["LANG", host["LANG"] ?? "C.UTF-8"],
    ["SHELL", "/bin/sh"],
  ]);
  const user = userName();
  if (user !== undefined) environment.set("USER", user).set("LOGNAME", user);
  for (const name of config.passEnvironment) {
    const value = host[name];
    if (value !== undefined) environment.set(name, value);
  }
  for (const [name, value] of config.environment) environment.set(name, value);
  for (const file of config.environmentFiles) {
    for (const [name, value] of readEnvironmentFile(file.path, file.optional)) environment.set(name, value);
  }
  for (const entry of config.unsetEnvironment) {
    const equals = entry.indexOf("=");
    if (equals === -1) environment.delete(entry);
    else if (environment.get(entry.slice(0, equals)) === entry.slice(equals + 1))
      environment.delete(entry.slice(0, equals));
  }
  for (const [name, value] of Object.entries(context.variables)) environment.set(name, value);
  return environment;
}

function readEnvironmentFile(path: string, optional: boolean): (readonly [string, string])[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (optional) return [];
    throw new Error(`the environment file ${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  try {
    return parseEnvironmentFile(text);
  } catch (error) {
    if (!(error instanceof UnitSyntaxError)) throw error;
    throw new Error(`the environment file ${path} is not valid: ${error.message}`, { cause: error });
  }
}

type Stdio = "pipe" | "ignore" | number;

function openOutputs(config: ServiceConfig, opened: number[]): [Stdio, Stdio] {
  const open = (output: Output): Stdio => {
    if (output.to === "journal") return "pipe";
    if (!("path" in output)) return "ignore";
    const flags = { file: constants.O_WRONLY | constants.O_CREAT, append: "a", truncate: "w" }[output.to];
    const fd = openSync(output.path, flags, 0o644);
    opened.push(fd);
    return fd;
  };
  const { standardOutput: out, standardError: err } = config;
  const stdout = open(out);
  const same = "path" in out && "path" in err && out.path === err.path;
  return [stdout, same ? stdout : open(err)];
}

function findProgram(name: string, path: string): string | undefined {
  const candidates = name.startsWith("/") ? [name] : path.split(delimiter).map((directory) => join(directory, name));
  return candidates.find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined; // a numeric user without an entry
  }
}
