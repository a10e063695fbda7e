import type { Digest } from "./digest.ts";
import { LAYERS_MAX } from "./manifest.ts";
import { Reader } from "./reader.ts";

/** Largest config that is read. */
export const CONFIG_BYTES_MAX: number = 4 * 1024 * 1024;
const ARGUMENTS_MAX = 10_000;
const ARGUMENT_LENGTH_MAX = 128 * 1024; // the kernel's MAX_ARG_STRLEN
const HISTORY_MAX = 2_000;

/** An image's config. image-spec config.md. */
export interface ImageConfig {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  readonly osVersion?: string;
  /** RFC 3339, as it was given. */
  readonly created?: string;
  readonly author?: string;
  /** Digests of the uncompressed layers, base first. */
  readonly diffIds: readonly Digest[];
  readonly run: RunConfig;
}

/** How an image wants to be run; what is absent was not said. */
export interface RunConfig {
  /** `user`, `uid`, `user:group`, `uid:gid`; to be resolved in the image. Empty: root. */
  readonly user: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly exposedPorts: readonly ExposedPort[];
  /** Absolute paths. */
  readonly volumes: readonly string[];
  /** As given: `SIGTERM`, `15`. */
  readonly stopSignal?: string;
}

/** A port that an image listens on. */
export interface ExposedPort {
  readonly port: number;
  readonly protocol: "tcp" | "udp" | "sctp";
}

/** Parses the config of an image. @throws ImageDocumentError */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  const reader = Reader.parse("image config", bytes, CONFIG_BYTES_MAX);
  const rootfs = reader.field("rootfs");
  if (!rootfs.isPresent) throw rootfs.fail("is missing: this is not the config of an image");
  if (rootfs.field("type").string() !== "layers") throw rootfs.field("type").fail('is not "layers"');
  const diffIds = rootfs.field("diff_ids").list(LAYERS_MAX);
  reader.field("history").list(HISTORY_MAX);
  const optional = {
    variant: reader.field("variant").optionalString(64),
    osVersion: reader.field("os.version").optionalString(256),
    created: reader.field("created").optionalString(64),
    author: reader.field("author").optionalString(4096),
  };
  return {
    architecture: reader.field("architecture").string(64),
    os: reader.field("os").string(64),
    ...definedOnly(optional),
    diffIds: diffIds.map((id) => id.digest()),
    run: readRunConfig(reader.field("config")),
  };
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function definedOnly<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== ""),
  ) as Defined<T>;
}

function readRunConfig(reader: Reader): RunConfig {
  const config = reader.isPresent ? reader : new Reader(reader.what, {}, reader.at);
  const stopSignal = config.field("StopSignal").optionalString(32);
  return {
    user: config.field("User").optionalString(512) ?? "",
    env: config.field("Env").list(ARGUMENTS_MAX).map(readVariable),
    entrypoint: config.field("Entrypoint").strings(ARGUMENTS_MAX, ARGUMENT_LENGTH_MAX),
    cmd: config.field("Cmd").strings(ARGUMENTS_MAX, ARGUMENT_LENGTH_MAX),
    workingDir: config.field("WorkingDir").isPresent ? config.field("WorkingDir").cString(4096) : "",
    labels: config.field("Labels").stringMap(2_000, 256 * 1024),
    exposedPorts: config.field("ExposedPorts").entries(1_000).flatMap(readPorts),
    volumes: config.field("Volumes").entries(1_000).map(readVolume),
    ...(stopSignal === undefined || stopSignal === "" ? {} : { stopSignal }),
  };
}

function readVariable(reader: Reader): string {
  const text = reader.cString(ARGUMENT_LENGTH_MAX);
  if (text.startsWith("=")) throw reader.fail("a variable without a name");
  // Docker writes NAME alone for a variable that is to be unset; as one without a value it would be malformed.
  return text.includes("=") ? text : `${text}=`;
}

function readPorts([key, reader]: [string, Reader]): ExposedPort[] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(key);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? first);
  if (match === null || first < 1 || last > 65_535 || last < first) throw reader.fail("is not a port such as 80/tcp");
  if (last - first > 1_000) throw reader.fail("is a range of more than 1000 ports");
  const protocol = (match[3]?.toLowerCase() ?? "tcp") as ExposedPort["protocol"];
  return Array.from({ length: last - first + 1 }, (_, i) => ({ port: first + i, protocol }));
}

function readVolume([path, reader]: [string, Reader]): string {
  if (!path.startsWith("/") || path.includes("\0") || path.length > 4096 || path.split("/").includes("..")) {
    throw reader.fail("a volume must be an absolute path without ..");
  }
  return path;
}
