import { FormatError } from "./errors.ts";
import { asArray, asCount, asNumber, asObject, asText, type JsonObject, optional, parseJson } from "./json.ts";

/** A version takes part in file names, keys and URLs: letters, digits and `. _ + ~ -`, at most 64. */
const VERSION = /^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$/;
const CHECKSUM = /^[0-9a-f]{64}$/;
const STREAM = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const RELEASES_MAX = 4_096;
const METADATA_MAX = 64;

/** What a machine's processor is called in release metadata when nothing else is said. */
export const DEFAULT_ARCHITECTURE = "x86_64";

/** One release: a version and the OSTree commit that is it. */
export interface Release {
  readonly version: string;
  /** Checksum of the commit: 64 lower-case hex digits. */
  readonly commit: string;
  /** When it was published, seconds since 1970. */
  readonly timestamp: number;
  /** Default {@link DEFAULT_ARCHITECTURE}. */
  readonly architecture?: string;
  /** Handed on in the graph. Keys of `org.fedoraproject.coreos.` are the server's own. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** How fast a release reaches the machines. */
export interface Rollout {
  /** Seconds since 1970; default 0, long begun. */
  readonly start_epoch?: number;
  /** The share of machines that may have it at the start, 0 to 1. Default 0 with a duration, 1 without. */
  readonly start_percentage?: number;
  /** It grows evenly to all of them in so long; without it stays at the start's share. */
  readonly duration_minutes?: number;
}

/** What is said of a release as an update. The words are those of Fedora CoreOS's `updates/<stream>.json`. */
export interface ReleaseUpdate {
  readonly version: string;
  /** It may be updated to. Without this and `barrier` it is known but offered to nobody. */
  readonly rollout?: Rollout;
  /** Whoever is older must go through it. */
  readonly barrier?: { readonly reason: string };
  /** Whoever has it gets no update any more. */
  readonly deadend?: { readonly reason: string };
}

/**
 * `releases/<stream>.json`: what `osctl publish` writes and the update server reads. Releases are in order of age, the
 * oldest first, and that order alone says which is newer.
 */
export interface StreamReleases {
  readonly stream: string;
  readonly releases: readonly Release[];
  readonly updates: readonly ReleaseUpdate[];
}

/** The name of a stream's file below the server's `releases/`. @throws FormatError for a name that could leave it */
export function releasesFileName(stream: string): string {
  return `${checkStream(stream, "the stream")}.json`;
}

/** The file beside it: raw ed25519 signatures of its bytes, one base64 text a line. */
export function signatureFileName(stream: string): string {
  return `${releasesFileName(stream)}.sig`;
}

/** A stream with no releases yet. */
export function emptyStream(stream: string): StreamReleases {
  return { stream: checkStream(stream, "the stream"), releases: [], updates: [] };
}

/** Parses and checks the text of `releases/<stream>.json`. @throws FormatError that says where it is wrong */
export function parseReleases(text: string): StreamReleases {
  const root = asObject(parseJson(text, "release metadata"), "release metadata");
  const releases = asArray(root["releases"], "releases", RELEASES_MAX).map(parseRelease);
  const updates = asArray(root["updates"], "updates", RELEASES_MAX).map(parseUpdate);
  const parsed = { stream: checkStream(root["stream"], "stream"), releases, updates };
  checkReleases(parsed);
  return parsed;
}

/** The text of a file: the same releases always give the same bytes, so that a signature can be made of them. */
export function encodeReleases(stream: StreamReleases): string {
  return `${JSON.stringify(parseReleases(JSON.stringify(stream)), null, 2)}\n`;
}

/**
 * Adds the newest release, or changes what is said of a known one as an update (a rollout is stopped by leaving it out,
 * and turned into a dead end by `deadend`).
 *
 * @throws FormatError when the version is known with another commit: a version means one commit, for ever
 */
export function addRelease(stream: StreamReleases, release: Release, update?: ReleaseUpdate): StreamReleases {
  const known = stream.releases.find((r) => r.version === release.version);
  if (known !== undefined && known.commit !== release.commit && sameArchitecture(known, release)) {
    throw new FormatError(
      `version ${release.version} of stream ${stream.stream} is already published as commit ${known.commit}; choose another version`,
      { version: release.version },
    );
  }
  const releases =
    known !== undefined && sameArchitecture(known, release) ? stream.releases : [...stream.releases, release];
  return setUpdate({ ...stream, releases }, update ?? { version: release.version, rollout: {} });
}

/** Replaces what is said of a version as an update. @throws FormatError when it is no release of the stream */
export function setUpdate(stream: StreamReleases, update: ReleaseUpdate): StreamReleases {
  const updates = [...stream.updates.filter((u) => u.version !== update.version), update];
  const next = { ...stream, updates };
  checkReleases(next);
  return parseReleases(JSON.stringify(next));
}

/** A version that may take part in names. @throws FormatError */
export function checkVersion(value: unknown, where: string): string {
  const text = asText(value, where, 64);
  if (VERSION.test(text)) return text;
  throw new FormatError(`${where} is not a version (letters, digits and . _ + ~ -): ${JSON.stringify(text)}`, {
    where,
  });
}

/** A commit's checksum. @throws FormatError */
export function checkChecksum(value: unknown, where: string): string {
  const text = asText(value, where, 64);
  if (CHECKSUM.test(text)) return text;
  throw new FormatError(`${where} is not 64 lower-case hex digits: ${JSON.stringify(text)}`, { where });
}

function checkStream(value: unknown, where: string): string {
  const text = asText(value, where, 64);
  if (STREAM.test(text)) return text;
  throw new FormatError(`${where} is not a stream's name (letters, digits and . _ -): ${JSON.stringify(text)}`, {
    where,
  });
}

function sameArchitecture(a: Release, b: Release): boolean {
  return (a.architecture ?? DEFAULT_ARCHITECTURE) === (b.architecture ?? DEFAULT_ARCHITECTURE);
}

function parseRelease(value: unknown, index: number): Release {
  const where = `releases[${index}]`;
  const o = asObject(value, where);
  const architecture = optional(o["architecture"], `${where}.architecture`, (v, w) => checkStream(v, w));
  const metadata = optional(o["metadata"], `${where}.metadata`, parseMetadata);
  return {
    version: checkVersion(o["version"], `${where}.version`),
    commit: checkChecksum(o["commit"], `${where}.commit`),
    timestamp: asCount(o["timestamp"], `${where}.timestamp`),
    ...(architecture === undefined ? {} : { architecture }),
    ...(metadata === undefined ? {} : { metadata }),
  };
}

/** Texts by key, bounded. @throws FormatError */
export function parseMetadata(value: unknown, where: string): Record<string, string> {
  const entries = Object.entries(asObject(value, where));
  if (entries.length > METADATA_MAX) throw new FormatError(`${where} has more than ${METADATA_MAX} keys`, { where });
  return Object.fromEntries(entries.map(([key, text]) => [key, asText(text, `${where}.${key}`)]));
}

function parseUpdate(value: unknown, index: number): ReleaseUpdate {
  const where = `updates[${index}]`;
  const o = asObject(value, where);
  const rollout = optional(o["rollout"], `${where}.rollout`, parseRollout);
  const barrier = optional(o["barrier"], `${where}.barrier`, parseReason);
  const deadend = optional(o["deadend"], `${where}.deadend`, parseReason);
  return {
    version: checkVersion(o["version"], `${where}.version`),
    ...(rollout === undefined ? {} : { rollout }),
    ...(barrier === undefined ? {} : { barrier }),
    ...(deadend === undefined ? {} : { deadend }),
  };
}

function parseRollout(value: unknown, where: string): Rollout {
  const o: JsonObject = asObject(value, where);
  const start = optional(o["start_epoch"], `${where}.start_epoch`, asCount);
  const share = optional(o["start_percentage"], `${where}.start_percentage`, (v, w) => asNumber(v, w, 0, 1));
  const minutes = optional(o["duration_minutes"], `${where}.duration_minutes`, asCount);
  return {
    ...(start === undefined ? {} : { start_epoch: start }),
    ...(share === undefined ? {} : { start_percentage: share }),
    ...(minutes === undefined ? {} : { duration_minutes: minutes }),
  };
}

function parseReason(value: unknown, where: string): { reason: string } {
  return { reason: asText(asObject(value, where)["reason"], `${where}.reason`) };
}

function checkReleases({ releases, updates }: StreamReleases): void {
  const versions = new Set<string>();
  const said = new Set<string>();
  for (const [i, { version, architecture = DEFAULT_ARCHITECTURE }] of releases.entries()) {
    const key = `${version} ${architecture}`;
    if (said.has(key)) throw new FormatError(`releases[${i}]: version ${version} is there twice`, { version });
    said.add(key);
    versions.add(version);
  }
  const updated = new Set<string>();
  for (const [i, { version }] of updates.entries()) {
    if (!versions.has(version)) throw new FormatError(`updates[${i}]: version ${version} is no release`, { version });
    if (updated.has(version)) throw new FormatError(`updates[${i}]: version ${version} is there twice`, { version });
    updated.add(version);
  }
}
