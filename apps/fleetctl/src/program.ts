import { DEFAULT_ENDPOINT, FleetClient, VERSION } from "@keelson/fleet/client";
import { CoreError, formatErrorChain } from "@keelson/types";
import { Command, CommanderError, Option } from "commander";
import { completeName, modernize } from "./argv.ts";
import { cat, journal, status, why } from "./commands/inspect.ts";
import { destroy, load, restart, start, stop, submit, unload } from "./commands/lifecycle.ts";
import { listMachines, listUnitFiles, listUnits, MACHINE_FIELDS, STATE_FIELDS, UNIT_FIELDS } from "./commands/lists.ts";
import { completionScript } from "./completion.ts";
import { CommandError, type Context, type Io } from "./io.ts";

type Flags = Readonly<Record<string, string | boolean | undefined>>;
type Action = (context: Context, args: readonly string[], flags: Flags) => Promise<number>;

/** Flags that scripts written for fleet pass and that mean nothing here: there is no SSH and no direct way to etcd. */
const IGNORED = ["known-hosts-file", "strict-host-key-checking", "ssh-timeout", "ssh-username", "experimental-api"];
const GONE: Readonly<Record<string, string>> = {
  ssh: "use ssh itself; fleetctl journal, status and cat need no SSH",
  verify: "signed units were given up by fleet itself",
  "fd-forward": "there are no SSH tunnels; use --endpoint",
};

/** Runs a command line and resolves with its exit code. */
export async function runProgram(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  io: Io,
): Promise<number> {
  const words = modernize(argv);
  if (words[0] === "--version" || words[0] === "-v") {
    io.out(`fleetctl version ${VERSION}\n`);
    return 0;
  }
  const result = { exitCode: 0 };
  const program = makeProgram(env, io, result);
  if (words.length === 0) {
    io.out(program.helpInformation());
    return 0;
  }
  const names = program.commands.map((command) => command.name());
  const at = words.findIndex((word, i) => !word.startsWith("-") && words[i - 1] !== "--endpoint");
  const given = at === -1 ? undefined : words[at];
  if (given !== undefined) words[at] = completeName(given, [...names, "help"]);
  const gone = GONE[words[at] ?? ""];
  if (gone !== undefined) {
    io.err(`fleetctl has no command ${words[at]}: ${gone}`);
    return 1;
  }
  try {
    await program.parseAsync(words, { from: "user" });
    return result.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
    if (error instanceof CommandError) {
      io.err(error.message);
      return error.exitCode;
    }
    if (io.signal.aborted) return 130;
    if (!(error instanceof CoreError)) throw error;
    io.err(`Error: ${formatErrorChain(error)}`);
    return 1;
  }
}

function makeProgram(env: Readonly<Record<string, string | undefined>>, io: Io, result: { exitCode: number }): Command {
  const program = new Command("fleetctl")
    .description("Runs systemd units on a cluster of machines.")
    .addOption(
      new Option("--endpoint <url>", "fleetd: unix:///path, http://host:port").default(
        env["FLEETCTL_ENDPOINT"] ?? DEFAULT_ENDPOINT,
      ),
    )
    .addOption(
      new Option("--request-timeout <seconds>", "longest wait for an answer").default(
        env["FLEETCTL_REQUEST_TIMEOUT"] ?? "10",
      ),
    )
    .addOption(new Option("--driver <name>").default(env["FLEETCTL_DRIVER"] ?? "API").hideHelp())
    .addOption(new Option("--tunnel <host>").default(env["FLEETCTL_TUNNEL"] ?? "").hideHelp())
    .addOption(new Option("--debug").hideHelp())
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(text.trimEnd()) })
    .showHelpAfterError("(fleetctl help shows all commands)")
    .helpCommand("help [command]", "show how a command is used")
    .addHelpText("after", "\nExit codes: 0 done, 1 not done. status: 3 not active. why: 4 waits for a machine.\n");
  for (const flag of IGNORED) program.addOption(new Option(`--${flag} [value]`).hideHelp());

  const add = (usage: string, summary: string, text: string, action: Action): Command => {
    const [name = "", args = ""] = usage.split(/ (.*)/s);
    const command = program.command(name).summary(summary).description(text).exitOverride();
    if (args !== "") command.argument(args);
    return command.action(async (...params: unknown[]) => {
      const given = args === "" ? [] : [params[0] ?? []].flat();
      result.exitCode = await action(connect(program.opts(), io), given.map(String), command.opts());
    });
  };
  addLists(add);
  addLifecycle(add);
  addInspection(add);
  program
    .command("version")
    .summary("print the version")
    .action(() => io.out(`fleetctl version ${VERSION}\n`));
  program
    .command("completion")
    .summary("print a completion script for bash, zsh or fish")
    .description("Prints a completion script.\n\nExample:\n  source <(fleetctl completion bash)")
    .argument("<shell>")
    .action((shell: string) =>
      io.out(
        completionScript(
          shell,
          program.commands.map((command) => command.name()),
        ),
      ),
    );
  return program;
}

type Add = (usage: string, summary: string, text: string, action: Action) => Command;

function addLists(add: Add): void {
  const flagsOf = (flags: Flags) => ({
    full: flags["full"] === true,
    legend: flags["legend"] !== false,
    fields: String(flags["fields"] ?? ""),
    output: String(flags["output"] ?? "text"),
  });
  const shape = (command: Command, fields: string, all: object) =>
    command
      .option("-l, --full", "do not ellipsize fields")
      .option("--no-legend", "no column headers")
      .option("--fields <list>", `columns to print, of ${Object.keys(all).join(",")}`, fields)
      .option("-o, --output <form>", "text or json", "text");
  shape(
    add(
      "list-machines",
      "list the machines of the cluster",
      "Lists the machines that are alive.\n\nExample:\n  fleetctl list-machines --fields=machine,metadata --full",
      (c, _, f) => listMachines(c, flagsOf(f)),
    ),
    "machine,ip,metadata",
    MACHINE_FIELDS,
  );
  shape(
    add(
      "list-units",
      "list units that are loaded, with their states",
      "Lists what every machine says of the units it has loaded.\n\nExample:\n  fleetctl list-units --no-legend | awk '{print $1, $3}'",
      (c, _, f) => listUnits(c, flagsOf(f)),
    ),
    "unit,machine,active,sub",
    STATE_FIELDS,
  );
  shape(
    add(
      "list-unit-files",
      "list all units of the cluster",
      "Lists all units of the cluster, loaded or not.\n\nExample:\n  fleetctl list-unit-files -o json",
      (c, _, f) => listUnitFiles(c, flagsOf(f)),
    ),
    "unit,hash,dstate,state,target",
    UNIT_FIELDS,
  );
}

const UNITS = "[units...]";

function addLifecycle(add: Add): void {
  const creation = (f: Flags) => ({ replace: f["replace"] === true, strict: f["strict"] === true });
  const blocking = (f: Flags) => ({ isBlocking: f["block"] !== false, attempts: attemptsOf(f["blockAttempts"]) });
  const creates = (command: Command) =>
    command
      .option("--replace", "give units that exist the text of the file")
      .option("--strict", "refuse units with settings in [X-Fleet] that have no effect");
  const blocks = (command: Command) =>
    command
      .option("--no-block", "return at once")
      .option("--block-attempts <n>", "wait n times 2 seconds at most; 0: for ever", "0");
  creates(
    add(
      `submit ${UNITS}`,
      "put units into the cluster without starting them",
      "Puts units into the cluster. A unit comes from the registry, a file, or the template of either.\n\nExample:\n  fleetctl submit web@.service db.service",
      (c, a, f) => submit(c, a, creation(f)),
    ),
  );
  blocks(
    creates(
      add(
        `load ${UNITS}`,
        "schedule units without starting them",
        "Schedules units and loads them on their machines, putting them into the cluster first where needed.\n\nExample:\n  fleetctl load db.service",
        (c, a, f) => load(c, a, { ...creation(f), ...blocking(f) }),
      ),
    ),
  );
  blocks(
    creates(
      add(
        `start ${UNITS}`,
        "start units",
        "Starts units, scheduling them and putting them into the cluster first where needed; waits until they are active.\n\nExamples:\n  fleetctl start web@{1..3}.service\n  fleetctl start --replace --block-attempts 10 web.service",
        (c, a, f) => start(c, a, { ...creation(f), ...blocking(f) }),
      ),
    ),
  );
  blocks(
    add(
      `stop ${UNITS}`,
      "stop units; they stay on their machines",
      "Stops units, which stay loaded on their machines.\n\nExample:\n  fleetctl stop web@1.service",
      (c, a, f) => stop(c, a, blocking(f)),
    ),
  );
  blocks(
    add(
      `unload ${UNITS}`,
      "stop units and take them off their machines",
      "Stops units and unschedules them; they stay in the cluster.\n\nExample:\n  fleetctl unload web@1.service",
      (c, a, f) => unload(c, a, blocking(f)),
    ),
  );
  blocks(
    add(
      `destroy ${UNITS}`,
      "stop units and remove them from the cluster",
      "Stops units and removes them from the cluster; waits until they have ended.\n\nExample:\n  fleetctl destroy web@1.service",
      (c, a, f) => destroy(c, a, blocking(f)),
    ),
  );
  blocks(
    add(
      `restart ${UNITS}`,
      "stop and start units, one after the other",
      "Stops and starts units that are loaded, one after the other.\n\nExample:\n  fleetctl restart web@1.service",
      (c, a, f) => restart(c, a, blocking(f)),
    ),
  );
}

function addInspection(add: Add): void {
  const machine = (f: Flags) => (f["machine"] === undefined ? {} : { machine: String(f["machine"]) });
  const output = (f: Flags) => ({ output: String(f["output"] ?? "text") });
  add(
    `cat ${UNITS}`,
    "print a unit's text",
    "Prints the text of a unit as it is in the cluster.\n\nExample:\n  fleetctl cat web.service",
    cat,
  );
  add(
    `status ${UNITS}`,
    "show what a unit's machine says of it",
    "Shows a unit's state and last output from its machine; of a global unit, from every machine.\n\nExample:\n  fleetctl status web.service",
    (c, a, f) => status(c, a, { ...output(f), ...machine(f) }),
  )
    .option("--machine <id>", "only of this machine")
    .option("-o, --output <form>", "text or json", "text")
    .addOption(new Option("--ssh-port <n>").hideHelp());
  add(
    `journal ${UNITS}`,
    "print a unit's output",
    "Prints what a unit wrote, from its machine.\n\nExample:\n  fleetctl journal -f --lines 100 web.service",
    (c, a, f) =>
      journal(c, a, {
        lines: linesOf(f["lines"]),
        follow: f["follow"] === true,
        output: String(f["output"] ?? "short"),
        ...machine(f),
      }),
  )
    .option("--lines <n>", "so many of the last lines", "10")
    .option("-f, --follow", "go on printing")
    .option("--machine <id>", "of this machine, for a global unit")
    .addOption(new Option("--ssh-port <n>").hideHelp())
    .addOption(new Option("--sudo").hideHelp())
    .option("--output <form>", "short, or cat for the text alone", "short");
  add(
    `why ${UNITS}`,
    "say where a unit is, or why it is nowhere",
    "Says for every machine why a unit is there or not.\n\nExample:\n  fleetctl why web.service",
    (c, a, f) => why(c, a, output(f)),
  ).option("-o, --output <form>", "text or json", "text");
}

function connect(flags: Flags, io: Io): Context {
  if (flags["driver"] !== "API") {
    throw new CommandError("only the driver API is supported: fleetctl talks to fleetd, and fleetd to etcd");
  }
  if (flags["tunnel"] !== "") throw new CommandError("SSH tunnels are not supported: use --endpoint, or ssh -L");
  const [endpoint = "", ...others] = String(flags["endpoint"]).split(",");
  if (others.length > 0) io.err(`multiple endpoints provided but only the first (${endpoint}) is used`);
  const seconds = Number(flags["requestTimeout"]);
  if (!(seconds > 0))
    throw new CommandError(`--request-timeout is not a number of seconds: ${String(flags["requestTimeout"])}`);
  return { io, client: new FleetClient({ endpoint, timeoutMs: 1_000 * seconds }) };
}

function attemptsOf(text: unknown): number {
  const value = Number(text ?? 0);
  if (Number.isInteger(value)) return Math.max(0, value);
  throw new CommandError(`--block-attempts is not a whole number: ${String(text)}`);
}

function linesOf(text: unknown): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0 && value <= 10_000) return value;
  throw new CommandError(`--lines is not a whole number from 0 to 10000: ${String(text)}`);
}
