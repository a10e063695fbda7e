import type { ExposedPort, ImageConfig } from "./config.ts";
import { ImageDocumentError } from "./errors.ts";
import { type ResolvedUser, resolveUser, type UserFiles } from "./passwd.ts";

/** What the caller says instead of the image. */
export interface ProcessOverrides {
  /** Replaces the entrypoint; the image's cmd then goes, too, as with docker and podman. */
  readonly entrypoint?: readonly string[];
  /** Replaces cmd. */
  readonly args?: readonly string[];
  /** `NAME=value`; replaces or follows the image's. */
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workingDir?: string;
  readonly stopSignal?: string;
}

/** The start of a runtime-spec `process`, and what else an image says of how it is run. image-spec conversion.md. */
export interface ProcessDefaults {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: ResolvedUser;
  /** Number. */
  readonly stopSignal: number;
  readonly exposedPorts: readonly ExposedPort[];
  readonly volumes: readonly string[];
  /** runtime-spec annotations: facts of the image, then its labels, which win. */
  readonly annotations: Readonly<Record<string, string>>;
}

const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SIGTERM = 15;

/** Linux' numbers of signals that end or move a process. signal(7). */
const SIGNALS: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: SIGTERM,
  STKFLT: 16,
  CHLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  XCPU: 24,
  XFSZ: 25,
  VTALRM: 26,
  PROF: 27,
  WINCH: 28,
  IO: 29,
  PWR: 30,
  SYS: 31,
};
const RTMIN = 34;
const RTMAX = 64;

/** The number of `SIGTERM`, `term`, `15`, `SIGRTMIN+3`; undefined when there is no such signal. */
export function parseSignal(text: string): number | undefined {
  const name = text.toUpperCase().replace(/^SIG/, "");
  if (/^\d{1,2}$/.test(name)) return Number(name) >= 1 && Number(name) <= RTMAX ? Number(name) : undefined;
  const realTime = /^(RTMIN|RTMAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realTime !== null) {
    const offset = Number(realTime[3] ?? 0) * (realTime[2] === "-" ? -1 : 1);
    const number = (realTime[1] === "RTMIN" ? RTMIN : RTMAX) + offset;
    return number >= RTMIN && number <= RTMAX ? number : undefined;
  }
  return Object.hasOwn(SIGNALS, name) ? SIGNALS[name] : undefined;
}

/**
 * How an image is run when nothing else is said.
 *
 * @param files the image's /etc/passwd and /etc/group
 * @throws UserLookupError, or ImageDocumentError when there is nothing to run
 */
export function processDefaults(
  config: ImageConfig,
  files: UserFiles,
  overrides: ProcessOverrides = {},
): ProcessDefaults {
  const { run } = config;
  const entrypoint = overrides.entrypoint ?? run.entrypoint;
  const args = [...entrypoint, ...(overrides.args ?? (overrides.entrypoint === undefined ? run.cmd : []))];
  if (args.length === 0 || args[0] === "") {
    throw new ImageDocumentError("image config", "config", "says no command to run; give one");
  }
  const user = resolveUser(overrides.user ?? run.user, files);
  const signalText = overrides.stopSignal ?? run.stopSignal;
  const stopSignal = signalText === undefined ? SIGTERM : parseSignal(signalText);
  if (stopSignal === undefined) {
    throw new ImageDocumentError("image config", "config.StopSignal", `${JSON.stringify(signalText)} is no signal`);
  }
  const cwd = overrides.workingDir ?? run.workingDir;
  return {
    args,
    env: environment(run.env, overrides.env ?? [], user),
    cwd: cwd.startsWith("/") ? cwd : `/${cwd}`,
    user,
    stopSignal,
    exposedPorts: run.exposedPorts,
    volumes: run.volumes,
    annotations: annotationsOf(config),
  };
}

/** Defaults never change what the image or the caller says. */
function environment(image: readonly string[], given: readonly string[], user: ResolvedUser): string[] {
  const byName = new Map<string, string>();
  const defaults = [DEFAULT_PATH, `HOME=${user.home ?? "/"}`];
  for (const variable of [...image, ...given]) byName.set(nameOf(variable), variable);
  for (const variable of defaults) if (!byName.has(nameOf(variable))) byName.set(nameOf(variable), variable);
  return [...byName.values()];
}

function nameOf(variable: string): string {
  return variable.split("=", 1)[0] ?? variable;
}

function annotationsOf(config: ImageConfig): Record<string, string> {
  const { run } = config;
  const facts: [string, string | undefined][] = [
    ["os", config.os],
    ["architecture", config.architecture],
    ["variant", config.variant],
    ["os.version", config.osVersion],
    ["author", config.author],
    ["created", config.created],
    ["stopSignal", run.stopSignal],
    ["exposedPorts", run.exposedPorts.map(({ port, protocol }) => `${port}/${protocol}`).join(",") || undefined],
  ];
  const result: Record<string, string> = Object.create(null);
  for (const [key, value] of facts) if (value !== undefined) result[`org.opencontainers.image.${key}`] = value;
  return Object.assign(result, run.labels);
}
