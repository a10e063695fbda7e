import { ImageBuildError } from "./errors.ts";
import { run } from "./run.ts";

export interface AptSource {
  readonly uri: string;
  readonly release: string;
  readonly origin: string;
  readonly label: string;
}

const FORMAT = "$(REPO_URI)\t$(RELEASE)\t$(ORIGIN)\t$(LABEL)\t$(COMPONENT)";

/** Reads the lines of `apt-get indextargets` in our format. Pure. */
export function parseTargets(text: string): AptSource[] {
  return text.split("\n").flatMap((line) => {
    const [uri, release, origin = "", label = "", component] = line.split("\t");
    return uri && release && component === "main" ? [{ uri, release, origin, label }] : [];
  });
}

/**
 * The Debian archive among the host's sources: Origin and Label say "Debian" (security's label differs). Without
 * fetched lists apt knows neither, and then a URI that ends in /debian is taken. Pure.
 */
export function chooseMirror(sources: readonly AptSource[]): string | undefined {
  const known = sources.find((s) => s.origin === "Debian" && s.label === "Debian");
  return (known ?? sources.find((s) => /\/debian\/?$/.test(s.uri)))?.uri;
}

/** The mirror a build uses: the one given, else the host's own. @throws {ImageBuildError} when there is none. */
export async function resolveMirror(options: {
  mirror?: string | undefined;
  snapshot?: string | undefined;
}): Promise<string> {
  const mirror =
    options.mirror ??
    chooseMirror(parseTargets(await run("apt-get", ["indextargets", "--format", FORMAT, "Created-By: Packages"])));
  if (mirror === undefined) {
    throw new ImageBuildError("this host's apt has no Debian mirror: name one with --mirror URL");
  }
  if (!/^(https?|file|ftp):\/\/?\S+$/.test(mirror)) {
    throw new ImageBuildError(`--mirror ${JSON.stringify(mirror)} is not a URL such as https://HOST/debian`);
  }
  return options.snapshot === undefined ? mirror : `${mirror.replace(/\/$/, "")}/${checkSnapshot(options.snapshot)}/`;
}

function checkSnapshot(snapshot: string): string {
  if (!/^\d{8}T\d{6}Z$/.test(snapshot)) {
    throw new ImageBuildError(`--snapshot ${JSON.stringify(snapshot)} is not a time such as 20260101T000000Z`);
  }
  return snapshot;
}

/** Settings of the host's apt that a build inside must share: proxies and, where clocks are odd, date checks. */
const INHERITED = [
  "Acquire::http::Proxy",
  "Acquire::https::Proxy",
  "Acquire::Check-Valid-Until",
  "Acquire::Check-Date",
];

/** Those settings as lines of an apt configuration file. */
export async function inheritedAptOptions(): Promise<string[]> {
  const text = await run("apt-config", ["dump", "--format", "%f\t%v%n"]);
  return pickOptions(text);
}

/** Pure part of {@link inheritedAptOptions}. */
export function pickOptions(dump: string): string[] {
  return dump.split("\n").flatMap((line) => {
    const [name = "", value = ""] = line.split("\t");
    return INHERITED.includes(name) && value !== "" ? [`${name} ${JSON.stringify(value)};`] : [];
  });
}
