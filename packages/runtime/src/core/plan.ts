import { z } from "zod";
import { PlanError } from "../errors.ts";

/** The version that this program writes. It reads this one only: a plan lives no longer than its pod. */
export const PLAN_VERSION = 1;

const id32 = z.int().min(0).max(4_294_967_294);
const absolute = z.string().startsWith("/").max(4096);
const name = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
const digest = z.string().regex(/^[a-z0-9]+:[0-9a-f]{32,128}$/);
const strings = z.record(z.string(), z.string());

const layer = z.strictObject({
  diffId: digest,
  /** The layer's EROFS file. No blank or quote is ever in it: it stands in a shell script. */
  path: z.string().regex(/^\/[A-Za-z0-9_./:@+-]+$/),
});

const processSchema = z.strictObject({
  args: z.array(z.string()).min(1),
  env: z.array(z.string()),
  cwd: absolute,
  user: z.strictObject({ uid: id32, gid: id32, additionalGids: z.array(id32) }),
  capabilities: z.array(z.string().regex(/^CAP_[A-Z_]+$/)),
  noNewPrivileges: z.boolean(),
  rlimits: z.array(
    z.strictObject({ type: z.string().regex(/^RLIMIT_[A-Z]+$/), soft: z.int().min(0), hard: z.int().min(0) }),
  ),
});

const app = z.strictObject({
  name,
  image: z.strictObject({ id: digest, name: z.string(), architecture: z.string() }),
  /** Base first. */
  layers: z.array(layer).min(1),
  process: processSchema,
  readOnlyRootfs: z.boolean(),
  mounts: z.array(z.strictObject({ volume: name, path: absolute, readOnly: z.boolean() })),
  limits: z.strictObject({
    memoryBytes: z.int().positive().optional(),
    cpuMillis: z.int().positive().optional(),
    cpuShares: z.int().min(2).max(262_144).optional(),
    tasksMax: z.int().positive().optional(),
    oomScoreAdjust: z.int().min(-1000).max(1000).optional(),
  }),
  restart: z.strictObject({ policy: z.enum(["no", "on-failure", "always"]), delayMs: z.int().min(0) }),
  stop: z.strictObject({ signal: z.int().min(1).max(64), timeoutMs: z.int().min(0) }),
  /** `default`: our filter. `none`: every system call. */
  seccomp: z.enum(["default", "none"]),
  /** Paths of the kernel are hidden or read-only. */
  protectPaths: z.boolean(),
  annotations: strings,
});

const volume = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("host"), name, source: absolute, readOnly: z.boolean(), recursive: z.boolean() }),
  z.strictObject({
    kind: z.literal("empty"),
    name,
    mode: z.int().min(0).max(0o7777),
    uid: id32,
    gid: id32,
    readOnly: z.boolean(),
  }),
]);

const network = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("host") }),
  z.strictObject({ kind: z.literal("none") }),
  z.strictObject({
    kind: z.literal("cni"),
    networks: z
      .array(
        z.strictObject({
          name,
          interface: z.string().regex(/^eth\d$/),
          args: z.array(z.string()),
          cniVersion: z.string(),
          plugins: z.array(z.record(z.string(), z.unknown())).min(1),
        }),
      )
      .min(1),
    ports: z.array(
      z.strictObject({
        containerPort: z.int().min(1).max(65_535),
        protocol: z.enum(["tcp", "udp", "sctp"]),
        hostPort: z.int().min(1).max(65_535),
        hostIp: z.string().optional(),
      }),
    ),
  }),
]);

const podPlan = z.strictObject({
  version: z.literal(PLAN_VERSION),
  uuid: z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
  name: z.string().optional(),
  hostname: z.string().min(1).max(64),
  apps: z.array(app).min(1).max(32),
  volumes: z.array(volume),
  network,
  dns: z.strictObject({ mode: z.enum(["host", "none", "list"]), resolvConf: z.string() }),
  hosts: z.array(z.strictObject({ ip: z.string(), name: z.string() })),
  sysctls: strings,
});

/** A pod as pure data: everything that is done for it follows from this and nothing else. */
export type PodPlan = z.infer<typeof podPlan>;
/** One app of a pod. */
export type AppPlan = PodPlan["apps"][number];
/** A volume of a pod. */
export type VolumePlan = PodPlan["volumes"][number];
/** A pod's network. */
export type NetworkPlan = PodPlan["network"];

/** Largest plan that is read, in characters. */
export const PLAN_LENGTH_MAX = 16 * 1024 * 1024;

/** Reads a plan. @throws PlanError that says what is wrong where */
export function parsePlan(text: string): PodPlan {
  if (text.length > PLAN_LENGTH_MAX) throw new PlanError(`the plan is longer than ${PLAN_LENGTH_MAX} characters`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new PlanError("the plan is not JSON", {}, { cause });
  }
  return checkPlan(json);
}

/** Checks a plan against the schema, and its parts against each other. @throws PlanError */
export function checkPlan(json: unknown): PodPlan {
  const result = podPlan.safeParse(json);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new PlanError(`the plan is not valid: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "?"}`);
  }
  const plan = result.data;
  const names = plan.apps.map((each) => each.name);
  const twice = names.find((each, i) => names.indexOf(each) !== i);
  if (twice !== undefined) throw new PlanError(`the plan is not valid: two apps are called ${twice}`);
  for (const each of plan.apps) {
    const lost = each.mounts.find((mount) => !plan.volumes.some((candidate) => candidate.name === mount.volume));
    if (lost !== undefined)
      throw new PlanError(`the plan is not valid: app ${each.name} mounts ${lost.volume}, which is no volume`);
  }
  return plan;
}

/** Writes a plan, with keys in one order. */
export function formatPlan(plan: PodPlan): string {
  return `${JSON.stringify(plan, null, 2)}\n`;
}
