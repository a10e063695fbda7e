import {
  bootId,
  describeFlags,
  type FlagTable,
  limitSettings,
  ownProcess,
  ownService,
  type PodPlan,
  parseRunArguments,
  RUN_FLAGS,
  SCRIPTS,
  systemctlManager,
} from "@keelson/runtime";
import { CommandError, type Context } from "../io.ts";
import { saveUuid } from "../uuid-file.ts";

const PREPARE_FLAGS: FlagTable = {
  quiet: { kind: "switch", help: "print the pod's uuid only" },
  "uuid-file-save": { kind: "value", hint: "FILE", help: "write the pod's uuid there" },
  "unit-pod": {
    kind: "value",
    hint: "NAME",
    help: "the pod of the unit NAME.service; used by units made of .container files",
  },
};

const FOREGROUND_FLAGS: FlagTable = {
  "uuid-file-save": { kind: "value", hint: "FILE", help: "write the pod's uuid there" },
  detach: { kind: "switch", short: "d", help: "return when the pod runs, in services of its own" },
  interactive: { kind: "switch", short: "i", help: "give the app this terminal" },
};

/** `rkt prepare`: the pod's uuid is the last line that is printed. */
export async function prepare(context: Context, argv: readonly string[]): Promise<number> {
  const { request, flags } = parseRunArguments(argv, PREPARE_FLAGS);
  const unit = flags.one("unit-pod");
  // What rt-prepare compares with: the arguments that it was given. Those that it added stand before them; an app may
  // have a --quiet of its own.
  const own = argv.slice(argv.findIndex((word) => word !== "--quiet" && !word.startsWith("--unit-pod=")));
  const plan = await (await context.pods()).prepare(
    request,
    unit === undefined ? {} : { unit: { name: unit, arguments: own } },
  );
  const path = flags.one("uuid-file-save");
  if (path !== undefined) await saveUuid(path, plan.uuid);
  context.io.out(`${plan.uuid}\n`);
  return 0;
}

/** `rkt run`: prepares and runs, in the foreground unless told otherwise. */
export async function run(context: Context, argv: readonly string[]): Promise<number> {
  const { request, flags } = parseRunArguments(argv, FOREGROUND_FLAGS);
  const isInteractive = flags.is("interactive");
  if (isInteractive && (request.apps.length > 1 || flags.is("detach")))
    throw new CommandError("--interactive is for one app in the foreground");
  if (isInteractive && !context.io.isTerminal)
    throw new CommandError("--interactive needs a terminal on standard input and output");
  const pods = await context.pods();
  const plan = await pods.prepare(request, { isTerminal: isInteractive });
  const path = flags.one("uuid-file-save");
  if (path !== undefined) await saveUuid(path, plan.uuid);
  if (flags.is("detach")) {
    await pods.runPrepared(plan.uuid);
    context.io.out(`${plan.uuid}\n`);
    return 0;
  }
  return await inForeground(context, plan);
}

/** `rkt run-prepared UUID`. */
export async function runPrepared(context: Context, words: readonly string[], isDetached: boolean): Promise<number> {
  const [text] = words;
  if (text === undefined || words.length > 1)
    throw new CommandError("give the uuid of one prepared pod, as `rkt prepare` printed it");
  const pods = await context.pods();
  const { uuid } = await pods.place(text);
  if (!isDetached) return await inForeground(context, await pods.plan(uuid));
  await pods.runPrepared(uuid);
  context.io.out(`${uuid}\n`);
  return 0;
}

/**
 * Becomes the pod. One app runs where we stand: in the caller's cgroup, as the same process, so that signals, exit status
 * and a unit's settings are its own. Several apps run as services, and a shell waits for them.
 */
async function inForeground(context: Context, plan: PodPlan): Promise<number> {
  const pods = await context.pods();
  const [app] = plan.apps;
  if (app === undefined || plan.apps.length > 1) {
    await pods.runPrepared(plan.uuid);
    return await context.io.become([`${SCRIPTS}/rt-wait`, pods.pods.path("run", plan.uuid)]);
  }
  const service = ownService(context.io.environment);
  const { directory } = await pods.claim(plan.uuid, {
    mode: "foreground",
    services: service === undefined ? {} : { [app.name]: service.name },
    ...(service === undefined ? {} : { invocationId: service.invocationId }),
    bootId: bootId(),
    startedAtMs: context.io.nowMs(),
    process: ownProcess(),
  });
  // Those that belong to a cgroup can be changed while it exists.
  const limits = limitSettings(app.limits).filter(([name]) => name !== "OOMPolicy");
  if (service !== undefined) {
    await systemctlManager().setProperties(service.name, limits);
    await pods.forgetEarlierRuns(service.name, plan.uuid);
  }
  const hasOwnNetwork = plan.network.kind === "cni";
  // A shell stays only where something is to be done at the end that nobody else does.
  const script = service !== undefined && !hasOwnNetwork ? "rt-exec" : "rt-foreground";
  const scope = [
    "systemd-run",
    "--scope",
    "--quiet",
    "--collect",
    `--unit=rkt-${plan.uuid.replaceAll("-", "")}.scope`,
    "--slice=rkt.slice",
  ];
  return await context.io.become([
    "env",
    "--default-signal",
    ...(service === undefined ? [...scope, ...limits.map(([name, value]) => `--property=${name}=${value}`), "--"] : []),
    "unshare",
    "--mount",
    "--propagation=slave",
    ...(hasOwnNetwork ? ["--net"] : []),
    "--",
    `${SCRIPTS}/${script}`,
    directory,
    app.name,
  ]);
}

/** Help of the commands whose flags the runtime parses. */
export function describeRun(command: "run" | "prepare"): string {
  const own = command === "run" ? FOREGROUND_FLAGS : PREPARE_FLAGS;
  return `Flags of the pod, before the first image or anywhere:\n${describeFlags({ ...RUN_FLAGS.pod, ...own })}\nFlags of an app, after its image:\n${describeFlags(RUN_FLAGS.app)}`;
}
