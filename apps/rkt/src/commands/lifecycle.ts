import { formatErrorChain } from "@keelson/types";
import { CommandError, type Context, FAILURE } from "../io.ts";
import { uuidsOf } from "../uuid-file.ts";

/** `rkt stop UUID…`: prints each pod that has stopped; one that does not run is no error. */
export async function stop(
  context: Context,
  words: readonly string[],
  options: { readonly isForced: boolean; readonly uuidFile?: string },
): Promise<number> {
  return await each(context, await uuidsOf(words, options.uuidFile), "stop", async (text) => {
    const pods = await context.pods();
    const { uuid } = await pods.place(text);
    const result = await pods.stop(uuid, { isForced: options.isForced });
    if (result === "was not running") context.io.err(`pod ${uuid} was not running`);
    context.io.out(`"${uuid}"\n`);
  });
}

/** `rkt rm UUID…`. */
export async function remove(
  context: Context,
  words: readonly string[],
  uuidFile: string | undefined,
): Promise<number> {
  return await each(context, await uuidsOf(words, uuidFile), "rm", async (text) => {
    context.io.out(`"${await (await context.pods()).remove(text)}"\n`);
  });
}

/** `rkt gc`: says on standard error what it did and why. */
export async function collect(
  context: Context,
  settings: { readonly graceMs: number; readonly preparedMs: number; readonly isMarkOnly: boolean },
): Promise<number> {
  for (const action of await (await context.pods()).collect(settings)) {
    const what = action.action === "delete" ? "Garbage collecting pod" : `Moving pod to ${action.to}:`;
    context.io.err(`${what} "${action.uuid}" (${action.reason})`);
  }
  return 0;
}

/** `rkt exec` and `rkt enter`: becomes a process in an app's namespaces, in its cgroup. */
export async function enter(
  context: Context,
  words: readonly string[],
  options: { readonly app?: string; readonly fallback: readonly string[] },
): Promise<number> {
  const [text, ...given] = words;
  if (text === undefined) throw new CommandError("give the pod to enter, by uuid (or its beginning) or name");
  const command = given.length === 0 ? options.fallback : given;
  if (command.length === 0) throw new CommandError("give the command to run, as in: rkt exec web ls /");
  const { containerId, cgroup } = await (await context.pods()).runningApp(text, options.app);
  // What is run in an app counts against its limits and ends with it.
  const join = 'echo $$ 2>/dev/null >"/sys/fs/cgroup$0/cgroup.procs" || :; exec "$@"';
  const crun = [
    "crun",
    "--root=/run/rkt/crun",
    "--cgroup-manager=disabled",
    "exec",
    ...(context.io.isTerminal ? ["--tty"] : []),
    containerId,
    ...command,
  ];
  return await context.io.become([
    "env",
    "--default-signal",
    ...(cgroup === "" ? crun : ["sh", "-c", join, cgroup, ...crun]),
  ]);
}

/** `rkt logs UUID`: becomes journalctl. */
export async function logs(
  context: Context,
  words: readonly string[],
  options: { readonly app?: string; readonly isFollowed: boolean; readonly lines?: number; readonly output: string },
): Promise<number> {
  const [text] = words;
  if (text === undefined || words.length > 1)
    throw new CommandError("give one pod, by uuid (or its beginning) or name");
  const pod = await (await context.pods()).status(text);
  if (options.app !== undefined && !pod.apps.some(({ name }) => name === options.app))
    throw new CommandError(`pod ${pod.uuid} has no app ${options.app}`);
  const { run } = pod;
  if (run === undefined) throw new CommandError(`pod ${pod.uuid} has not run: it is ${pod.state}`);
  const services = Object.entries(run.services).filter(([name]) => options.app === undefined || name === options.app);
  if (services.length === 0)
    throw new CommandError(`pod ${pod.uuid} ran in the foreground of a terminal: its output went there`);
  const which =
    run.invocationId === undefined
      ? services.map(([, service]) => `--unit=${service}`)
      : [`_SYSTEMD_INVOCATION_ID=${run.invocationId}`];
  return await context.io.become([
    "journalctl",
    "--no-pager",
    "--quiet",
    `--output=${options.output}`,
    ...(options.isFollowed ? ["--follow"] : []),
    ...(options.lines === undefined ? (options.isFollowed ? ["--lines=10"] : []) : [`--lines=${options.lines}`]),
    ...which,
  ]);
}

async function each(
  context: Context,
  texts: readonly string[],
  verb: string,
  act: (text: string) => Promise<void>,
): Promise<number> {
  if (texts.length === 0) throw new CommandError(`give the pods to ${verb}, by uuid (or its beginning) or name`);
  let exitCode = 0;
  for (const text of texts) {
    try {
      await act(text);
    } catch (error) {
      context.io.err(`${verb}: ${formatErrorChain(error)}`);
      exitCode = FAILURE;
    }
  }
  return exitCode;
}
