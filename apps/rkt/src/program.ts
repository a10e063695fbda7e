import {
  digestsInUse,
  type FlagTable,
  type ImageStore,
  openMachineImages,
  type ParsedFlags,
  PodRuntime,
  parseDuration,
  parseFlags,
  parseInteger,
  podImages,
  systemctlManager,
} from "@keelson/runtime";
import { CoreError, formatErrorChain } from "@keelson/types";
import { generate, keepGenerated } from "./commands/generate.ts";
import { collectImages, fetchImages, listImages, removeImages } from "./commands/images.ts";
import { catManifest, list, status } from "./commands/inspect.ts";
import { collect, enter, logs, remove, stop } from "./commands/lifecycle.ts";
import { describeRun, prepare, run, runPrepared } from "./commands/run.ts";
import { commandHelp, programHelp } from "./help.ts";
import { CommandError, type Context, FAILURE, type Io } from "./io.ts";

/** The version of Keelson that this is. */
export const VERSION = "0.1.0";

/** One command of the program. */
export interface CommandSpec {
  readonly usage: string;
  readonly summary: string;
  readonly text: string;
  readonly flags: FlagTable;
  /** After so many words the rest is somebody else's command line. */
  readonly stopAtWords?: number;
  /** Parses its words itself. */
  readonly isRaw?: true;
  /** May be run by anybody. All else reads what pods were given, secrets too, and so is for root. */
  readonly isForAll?: true;
  readonly act: (context: Context, flags: ParsedFlags, argv: readonly string[]) => Promise<number>;
}

const FORMAT: FlagTable = { format: { kind: "value", hint: "json|json-pretty", help: "for programs" } };
const LISTS: FlagTable = {
  full: { kind: "switch", help: "whole ids and times" },
  "no-legend": { kind: "switch", help: "no column headers" },
  ...FORMAT,
};
const UUID_FILE: FlagTable = { "uuid-file": { kind: "value", hint: "FILE", help: "a file with the pod's uuid" } };
const APP: FlagTable = { app: { kind: "value", hint: "NAME", help: "which app of the pod" } };

const listOptions = (flags: ParsedFlags) => ({
  isFull: flags.is("full"),
  hasLegend: !flags.is("no-legend"),
  format: flags.one("format") ?? "",
});
const optional = <K extends string>(key: K, value: string | undefined): { [P in K]?: string } =>
  value === undefined ? {} : ({ [key]: value } as { [P in K]?: string });

/** Every command by its name; `image list` has two words. */
export const COMMANDS: Readonly<Record<string, CommandSpec>> = {
  run: {
    usage: "run [flags] IMAGE [flags] [-- args [---]] …",
    summary: "prepare a pod and run it in the foreground",
    text: "Gets the images, prepares a pod and becomes it: signals and the exit status are the app's. In a service of systemd\nit is the service's main process.\n\nExample:\n  rkt run --net=default --port=80-tcp:8080 registry.example/web:1 --memory=64Mi -- --verbose",
    flags: {},
    isRaw: true,
    act: async (context, _, argv) => await run(context, argv),
  },
  prepare: {
    usage: "prepare [flags] IMAGE [flags] [-- args [---]] …",
    summary: "prepare a pod without running it",
    text: "Gets the images and prepares a pod; prints its uuid.\n\nExample:\n  rkt run-prepared $(rkt prepare --quiet registry.example/web:1)",
    flags: {},
    isRaw: true,
    act: async (context, _, argv) => await prepare(context, argv),
  },
  "run-prepared": {
    usage: "run-prepared [--detach] UUID",
    summary: "run a pod that was prepared",
    text: "Runs a prepared pod, as run does. A pod runs once.\n\nExample:\n  rkt run-prepared --detach 3190ce65",
    flags: { detach: { kind: "switch", short: "d", help: "return when the pod runs, in services of its own" } },
    act: async (context, flags) => await runPrepared(context, flags.words, flags.is("detach")),
  },
  list: {
    usage: "list",
    summary: "list the pods of this machine",
    text: "Lists pods, one row for each app.\n\nExample:\n  rkt list --no-legend --full",
    flags: LISTS,
    act: async (context, flags) => await list(context, listOptions(flags)),
  },
  status: {
    usage: "status UUID",
    summary: "show how a pod is, or how it ended",
    text: "Shows a pod as key=value lines: its state, addresses, and for each app the exit code and systemd's word for how it\nended (success, exit-code, signal, oom-kill, timeout).\n\nExample:\n  rkt status --wait=30s web",
    flags: {
      ...UUID_FILE,
      ...FORMAT,
      wait: { kind: "value", hint: "TIME", help: "until the pod has ended" },
      "wait-ready": { kind: "value", hint: "TIME", help: "until the pod runs" },
    },
    act: async (context, flags) => {
      const [end, ready] = [flags.one("wait"), flags.one("wait-ready")];
      const wait =
        end === undefined
          ? ready === undefined
            ? undefined
            : { for: "ready" as const, timeoutMs: parseDuration("--wait-ready", ready) }
          : { for: "end" as const, timeoutMs: parseDuration("--wait", end) };
      return await status(context, flags.words, {
        format: flags.one("format") ?? "",
        ...optional("uuidFile", flags.one("uuid-file")),
        ...(wait === undefined ? {} : { wait }),
      });
    },
  },
  "cat-manifest": {
    usage: "cat-manifest UUID",
    summary: "print a pod's plan",
    text: "Prints the plan from which everything of a pod follows, as JSON.\n\nExample:\n  rkt cat-manifest web",
    flags: { ...UUID_FILE, "pretty-print": { kind: "switch", help: "over several lines (default: true)" } },
    act: async (context, flags) =>
      await catManifest(context, flags.words, {
        isPretty: !flags.has("pretty-print") || flags.is("pretty-print"),
        ...optional("uuidFile", flags.one("uuid-file")),
      }),
  },
  logs: {
    usage: "logs UUID",
    summary: "print what a pod's apps wrote",
    text: "Prints the journal of a pod's services.\n\nExample:\n  rkt logs -f --lines=100 web",
    flags: {
      ...APP,
      follow: { kind: "switch", short: "f", help: "go on printing" },
      lines: { kind: "value", short: "n", hint: "N", help: "so many of the last lines" },
      output: {
        kind: "value",
        short: "o",
        hint: "FORM",
        help: "short, cat, json: a form of journalctl (default: short)",
      },
    },
    act: async (context, flags) => {
      const lines = flags.one("lines");
      const output = flags.one("output") ?? "short";
      if (!/^[a-z-]{1,32}$/.test(output))
        throw new CommandError(`--output: ${JSON.stringify(output)} is no form of journalctl`);
      return await logs(context, flags.words, {
        ...optional("app", flags.one("app")),
        isFollowed: flags.is("follow"),
        output,
        ...(lines === undefined ? {} : { lines: parseInteger("--lines", lines, 0, 1_000_000) }),
      });
    },
  },
  exec: {
    usage: "exec [--app=NAME] UUID COMMAND [args]",
    summary: "run a command in an app",
    text: "Runs a command beside an app, in its namespaces and cgroup; ends with its exit status.\n\nExample:\n  rkt exec web cat /etc/hosts",
    flags: APP,
    stopAtWords: 1,
    act: async (context, flags) =>
      await enter(context, flags.words, { ...optional("app", flags.one("app")), fallback: [] }),
  },
  enter: {
    usage: "enter [--app=NAME] UUID [COMMAND [args]]",
    summary: "run a shell in an app",
    text: "As exec, with /bin/sh where no command is given.\n\nExample:\n  rkt enter web",
    flags: APP,
    stopAtWords: 1,
    act: async (context, flags) =>
      await enter(context, flags.words, { ...optional("app", flags.one("app")), fallback: ["/bin/sh"] }),
  },
  stop: {
    usage: "stop UUID…",
    summary: "stop pods",
    text: "Sends the stop signal, waits as long as each app was given, then kills.\n\nExample:\n  rkt stop web",
    flags: { ...UUID_FILE, force: { kind: "switch", help: "kill at once" } },
    act: async (context, flags) =>
      await stop(context, flags.words, {
        isForced: flags.is("force"),
        ...optional("uuidFile", flags.one("uuid-file")),
      }),
  },
  rm: {
    usage: "rm UUID…",
    summary: "remove pods that do not run",
    text: "Removes pods and all that they wrote. Running ones are refused.\n\nExample:\n  rkt rm web",
    flags: UUID_FILE,
    act: async (context, flags) => await remove(context, flags.words, flags.one("uuid-file")),
  },
  gc: {
    usage: "gc",
    summary: "remove pods that have ended",
    text: "Marks pods that have ended, and removes those that were marked long enough ago; removes what interrupted preparations\nleft. May be run at any time and by several at once.\n\nExample:\n  rkt gc --grace-period=24h",
    flags: {
      "grace-period": { kind: "value", hint: "TIME", help: "between mark and removal (default: 30m)" },
      "expire-prepared": { kind: "value", hint: "TIME", help: "how long a prepared pod may wait (default: 24h)" },
      "mark-only": { kind: "switch", help: "remove nothing" },
    },
    act: async (context, flags) => {
      noWords("gc", flags);
      const time = (name: string, fallback: string) => parseDuration(`--${name}`, flags.one(name) ?? fallback);
      return await collect(context, {
        graceMs: time("grace-period", "30m"),
        preparedMs: time("expire-prepared", "24h"),
        isMarkOnly: flags.is("mark-only"),
      });
    },
  },
  fetch: {
    usage: "fetch IMAGE…",
    summary: "get images",
    text: "Gets images from their registries, or from an OCI layout or archive given by its path; prints their ids.\n\nExamples:\n  rkt fetch registry.example/web:1\n  rkt fetch ./web.oci.tar",
    flags: {
      full: { kind: "switch", help: "whole ids" },
      name: { kind: "value", hint: "NAME", help: "what the image of a layout or archive is called here" },
      "pull-policy": { kind: "value", hint: "new|update", help: "only when missing, or ask the registry (default)" },
      "insecure-options": { kind: "value", hint: "LIST", repeats: true, help: "http: allow plain HTTP" },
    },
    act: async (context, flags) =>
      await fetchImages(context, flags.words, {
        isFull: flags.is("full"),
        insecure: flags.all("insecure-options").flatMap((text) => text.split(",")),
        pullPolicy: flags.one("pull-policy") ?? "update",
        ...optional("name", flags.one("name")),
      }),
  },
  "image list": {
    usage: "image list",
    summary: "list the images of this machine",
    text: "Lists images.\n\nExample:\n  rkt image list --full",
    flags: LISTS,
    act: async (context, flags) => await listImages(context, listOptions(flags)),
  },
  "image rm": {
    usage: "image rm IMAGE…",
    summary: "remove images that no pod needs",
    text: "Removes images by id (or its beginning) or name.\n\nExample:\n  rkt image rm registry.example/web:1",
    flags: {},
    act: async (context, flags) => await removeImages(context, flags.words),
  },
  "image gc": {
    usage: "image gc",
    summary: "remove images that nobody uses",
    text: "Removes images that no pod needs and that were not used for a while.\n\nExample:\n  rkt image gc --grace-period=24h",
    flags: { "grace-period": { kind: "value", hint: "TIME", help: "since the last use (default: 24h)" } },
    act: async (context, flags) => {
      noWords("image gc", flags);
      return await collectImages(context, parseDuration("--grace-period", flags.one("grace-period") ?? "24h"));
    },
  },
  generate: {
    usage: "generate FILE.container | generate --keep",
    summary: "print the service of a .container file",
    text: "Prints the service that a .container file stands for, for fleetctl or systemd. With --keep renders those of this\nmachine for the generator that runs at boot.\n\nExample:\n  rkt generate web.container >web.service && fleetctl start web.service",
    flags: {
      keep: { kind: "switch", help: "render what is in /etc/containers/systemd and its like into /var/lib/rkt/units" },
    },
    isForAll: true,
    act: async (context, flags) => {
      if (!flags.is("keep")) return await generate(context, flags.words);
      noWords("generate --keep", flags);
      return await keepGenerated(context, "/var/lib/rkt/units");
    },
  },
};

function noWords(command: string, flags: ParsedFlags): void {
  if (flags.words.length > 0) throw new CommandError(`${command} takes no words: ${flags.words.join(" ")}`);
}

/** Global flags of rkt that change where things are. */
const GLOBAL: FlagTable = {
  dir: { kind: "value", hint: "DIRECTORY", help: "where pods and images are (default: /var/lib/rkt)" },
  debug: { kind: "switch", help: "print the stack of an error" },
};

/** Runs a command line and resolves with its exit code: 254 for every error of ours, as rkt. */
export async function runProgram(argv: readonly string[], io: Io, isRoot: boolean): Promise<number> {
  const { globals, rest } = splitGlobals(argv);
  const isDebug = globals.includes("--debug");
  try {
    const [first] = rest;
    if (first === undefined || first === "help" || first === "--help" || first === "-h")
      return help(io, rest.slice(1), first === undefined);
    if (first === "version" || first === "--version") {
      io.out(`rkt Version: ${VERSION} (Keelson)\nPod plan: 1\nRuntime: crun, runtime-spec 1.1\nCNI: 1.0.0\n`);
      return 0;
    }
    const { name, words } = findCommand(rest);
    const spec = COMMANDS[name];
    if (spec === undefined) throw new CommandError(`there is no command ${JSON.stringify(name)} (see: rkt help)`);
    const isPlain = spec.isRaw !== true && spec.stopAtWords === undefined;
    if (words[0] === "--help" || words[0] === "-h" || (isPlain && words.includes("--help")))
      return help(io, name.split(" "), false);
    if (spec.isForAll !== true && !isRoot) throw new CommandError(`rkt ${name} has to be run as root`);
    const flags = parseFlags(spec.isRaw === true ? {} : spec.flags, spec.isRaw === true ? [] : words, spec.stopAtWords);
    return await spec.act(makeContext(io, isRoot, directoryOf(globals)), flags, words);
  } catch (error) {
    if (error instanceof CommandError) {
      io.err(`rkt: ${error.message}`);
      return error.exitCode;
    }
    if (io.signal.aborted) return 130;
    if (!(error instanceof CoreError)) throw error;
    io.err(`rkt: ${formatErrorChain(error)}`);
    if (isDebug && error.stack !== undefined) io.err(error.stack);
    return FAILURE;
  }
}

/** rkt's global flags stand before the command. */
function splitGlobals(argv: readonly string[]): { globals: string[]; rest: string[] } {
  const globals: string[] = [];
  let at = 0;
  for (; at < argv.length && /^--(dir|debug|insecure-options)\b/.test(argv[at] ?? ""); at++) {
    globals.push(argv[at] ?? "");
    if (argv[at] === "--dir" || argv[at] === "--insecure-options") globals.push(argv[++at] ?? "");
  }
  const rest = argv.slice(at);
  // `rkt --insecure-options=image run …` is how units of the time said it.
  const insecure = globals.findIndex((word) => word.startsWith("--insecure-options"));
  if (insecure !== -1 && ["run", "prepare", "fetch"].includes(rest[0] ?? "")) {
    const words =
      globals[insecure]?.includes("=") === true ? [globals[insecure] ?? ""] : globals.slice(insecure, insecure + 2);
    return { globals, rest: [rest[0] ?? "", ...words, ...rest.slice(1)] };
  }
  return { globals, rest };
}

function directoryOf(globals: readonly string[]): string | undefined {
  const at = globals.findIndex((word) => word.startsWith("--dir"));
  if (at === -1) return undefined;
  const word = globals[at] ?? "";
  return word.includes("=") ? word.slice(word.indexOf("=") + 1) : globals[at + 1];
}

/** The command that words begin with: by its name, or by a beginning that only one has, as rkt took it. */
function findCommand(words: readonly string[]): { name: string; words: readonly string[] } {
  const names = [...Object.keys(COMMANDS), "help", "version"];
  const complete = (text: string) => {
    const found = names.filter((each) => each.startsWith(text));
    return names.includes(text) || found.length !== 1 ? text : (found[0] ?? text);
  };
  const [first = "", second = ""] = words;
  if (first === "image") return { name: complete(`image ${second}`), words: words.slice(2) };
  return { name: complete(first), words: words.slice(1) };
}

function help(io: Io, words: readonly string[], isLost: boolean): number {
  const name = words.join(" ");
  const spec = COMMANDS[name];
  if (spec === undefined) {
    io.out(programHelp(COMMANDS, GLOBAL));
    // rkt: a command line without a command is an error of usage.
    return isLost ? 2 : 0;
  }
  io.out(commandHelp(spec, name === "run" || name === "prepare" ? describeRun(name) : undefined));
  return 0;
}

function makeContext(io: Io, isRoot: boolean, directory: string | undefined): Context {
  let images: Promise<ImageStore> | undefined;
  let pods: Promise<PodRuntime> | undefined;
  const root = directory === undefined ? {} : { root: directory };
  const openImages = async (): Promise<ImageStore> => {
    const home = io.environment["HOME"];
    const inUse = async () => digestsInUse(await (await openPods()).imagesInUse());
    const { store } = await openMachineImages({ ...root, ...(home === undefined ? {} : { home }), inUse });
    return store;
  };
  const openPods = async (): Promise<PodRuntime> => {
    pods ??= PodRuntime.open({
      images: {
        get: async (name) => await podImages(await context.images()).get(name),
        pull: async (name, options) => await podImages(await context.images()).pull(name, options),
      },
      services: systemctlManager(),
      environment: io.environment,
      ...(directory === undefined ? {} : { directory }),
    });
    return await pods;
  };
  const context: Context = {
    io,
    isRoot,
    pods: openPods,
    images: async () => {
      images ??= openImages();
      return await images;
    },
  };
  return context;
}
