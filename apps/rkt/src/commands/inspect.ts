import { ago, formatTable, type PodStatus } from "@keelson/runtime";
import { CommandError, type Context, FAILURE } from "../io.ts";
import { uuidsOf } from "../uuid-file.ts";

/** Form of lists. */
export interface ListOptions {
  readonly isFull: boolean;
  readonly hasLegend: boolean;
  readonly format: string;
}

/** `rkt list`: one row for each app. */
export async function list(context: Context, options: ListOptions): Promise<number> {
  const pods = await (await context.pods()).list();
  const format = checkFormat(options.format);
  if (format !== undefined) context.io.out(toJson(pods.map(podJson), format));
  else
    context.io.out(
      formatTable([
        ...(options.hasLegend ? [header(options.isFull)] : []),
        ...pods.flatMap((pod) => rowsOf(pod, options.isFull, context.io.nowMs())),
      ]),
    );
  for (const { uuid, problem } of pods) if (problem !== undefined) context.io.err(`pod ${uuid}: ${problem}`);
  return 0;
}

function header(isFull: boolean): string[] {
  return ["UUID", "APP", "IMAGE NAME", ...(isFull ? ["IMAGE ID"] : []), "STATE", "CREATED", "STARTED", "NETWORKS"];
}

function rowsOf(pod: PodStatus, isFull: boolean, nowMs: number): string[][] {
  const time = (ms: number | undefined) => (ms === undefined ? "" : isFull ? rfc3339(ms) : ago(ms, nowMs));
  const networks = pod.networks.map(({ name, ips }) => `${name}:ip4=${ips[0] ?? ""}`).join(", ");
  const facts = [pod.state, time(pod.createdAtMs), time(pod.startedAtMs), networks];
  const uuid = isFull ? pod.uuid : pod.uuid.slice(0, 8);
  if (pod.apps.length === 0) return [[uuid, "-", "-", ...(isFull ? ["-"] : []), ...facts]];
  return pod.apps.map((app, i) => [
    i === 0 ? uuid : "",
    app.name,
    app.imageName,
    ...(isFull ? [app.imageId.replace(":", "-").slice(0, 19)] : []),
    ...(i === 0 ? facts : ["", "", "", ""]),
  ]);
}

/** Options of `rkt status`. */
export interface StatusOptions {
  readonly format: string;
  readonly uuidFile?: string;
  /** Wait for the pod's end (`wait`) or until it runs (`ready`), so long at most. */
  readonly wait?: { readonly for: "end" | "ready"; readonly timeoutMs: number };
}

/** `rkt status UUID`: `key=value` lines. */
export async function status(context: Context, words: readonly string[], options: StatusOptions): Promise<number> {
  const uuids = await uuidsOf(words, options.uuidFile);
  const [text] = uuids;
  if (text === undefined || uuids.length > 1)
    throw new CommandError("give one pod, by uuid (or its beginning) or name");
  const pods = await context.pods();
  const deadline = context.io.nowMs() + (options.wait?.timeoutMs ?? 0);
  let pod = await pods.status(text);
  while (options.wait !== undefined && !isReached(pod, options.wait.for)) {
    if (context.io.signal.aborted) return FAILURE;
    if (context.io.nowMs() > deadline) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
    pod = await pods.status(pod.uuid);
  }
  const format = checkFormat(options.format);
  context.io.out(format === undefined ? statusLines(pod) : toJson(podJson(pod), format));
  if (options.wait !== undefined && !isReached(pod, options.wait.for))
    throw new CommandError(`pod ${pod.uuid} is ${pod.state} still`);
  return pod.problem === undefined ? 0 : FAILURE;
}

function isReached(pod: PodStatus, what: "end" | "ready"): boolean {
  const hasEnded = !["embryo", "preparing", "prepared", "running"].includes(pod.state);
  return hasEnded || (what === "ready" && pod.state === "running");
}

function statusLines(pod: PodStatus): string {
  const { state, apps, networks, startedAtMs } = pod;
  const hasRun = state !== "embryo" && state !== "preparing" && state !== "prepared" && state !== "aborted prepare";
  const pid = apps.find((app) => app.pid !== undefined)?.pid;
  const lines = [
    `state=${state}`,
    ...(pod.name === undefined ? [] : [`name=${pod.name}`]),
    `created=${rfc3339(pod.createdAtMs)}`,
    ...(startedAtMs === undefined ? [] : [`started=${rfc3339(startedAtMs)}`]),
    ...(networks.length === 0
      ? []
      : [`networks=${networks.map(({ name, ips }) => `${name}:ip4=${ips[0] ?? ""}`).join(", ")}`]),
    ...(pid === undefined ? [] : [`pid=${pid}`]),
    ...(hasRun ? [`exited=${state !== "running"}`] : []),
    ...apps.flatMap((app) => [
      ...(app.exitCode === undefined ? [] : [`app-${app.name}=${app.exitCode}`]),
      ...(app.result === undefined ? [] : [`app-${app.name}-result=${app.result}`]),
      ...(app.signal === undefined ? [] : [`app-${app.name}-signal=${app.signal}`]),
      ...(app.restarts === 0 ? [] : [`app-${app.name}-restarts=${app.restarts}`]),
      ...(app.endedAtMs === undefined ? [] : [`app-${app.name}-ended=${rfc3339(app.endedAtMs)}`]),
    ]),
    ...(pod.problem === undefined ? [] : [`problem=${pod.problem.replaceAll("\n", " ")}`]),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/** `rkt cat-manifest UUID`: the pod's plan. */
export async function catManifest(
  context: Context,
  words: readonly string[],
  options: { readonly isPretty: boolean; readonly uuidFile?: string },
): Promise<number> {
  const uuids = await uuidsOf(words, options.uuidFile);
  const [text] = uuids;
  if (text === undefined || uuids.length > 1)
    throw new CommandError("give one pod, by uuid (or its beginning) or name");
  const plan = await (await context.pods()).plan(text);
  context.io.out(`${options.isPretty ? JSON.stringify(plan, null, 2) : JSON.stringify(plan)}\n`);
  return 0;
}

function podJson(pod: PodStatus): object {
  return {
    name: pod.uuid,
    ...(pod.name === undefined ? {} : { pod_name: pod.name }),
    state: pod.state,
    networks: pod.networks.map(({ name, ips }) => ({ netName: name, ip: ips[0] ?? "" })),
    app_names: pod.apps.map(({ name }) => name),
    apps: pod.apps,
    created_at: Math.floor(pod.createdAtMs / 1000),
    ...(pod.startedAtMs === undefined ? {} : { started_at: Math.floor(pod.startedAtMs / 1000) }),
    ...(pod.problem === undefined ? {} : { problem: pod.problem }),
  };
}

/** `json`, `json-pretty`, or undefined for people. */
export function checkFormat(format: string): "json" | "json-pretty" | undefined {
  if (format === "" || format === "text") return undefined;
  if (format === "json" || format === "json-pretty") return format;
  throw new CommandError(`--format: ${JSON.stringify(format)} is neither json nor json-pretty`);
}

/** JSON as `--format` wants it. */
export function toJson(value: unknown, format: "json" | "json-pretty"): string {
  return `${format === "json" ? JSON.stringify(value) : JSON.stringify(value, null, 2)}\n`;
}

function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}
