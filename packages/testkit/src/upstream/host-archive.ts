import { readFile } from "node:fs/promises";
import { runProcess } from "../process-handle.ts";

/** Where this host gets Debian from. */
export interface HostArchive {
  /** The URI of its mirror, as in its sources. */
  readonly uri: string;
  /** The keyring named by Signed-By, if any. */
  readonly signedBy: string | undefined;
}

const FIELDS = ["REPO_URI", "RELEASE", "COMPONENT", "ORIGIN", "SOURCESENTRY"] as const;
/** Names of Debian's releases and suites; only needed while apt has no Release file that names the origin. */
const RELEASES = /^(bullseye|bookworm|trixie|forky|sid|oldstable|stable|testing|unstable)$/;

/** Asks the host's apt for its Debian archive. A string says why there is none. */
export async function findHostArchive(): Promise<HostArchive | string> {
  const format = FIELDS.map((field) => `$(${field})`).join("|");
  let output: string;
  try {
    const result = await runProcess("apt-get", ["indextargets", "--format", format, "Created-By: Packages"]);
    if (result.code !== 0) return `apt-get indextargets failed: ${result.stderr.trim()}`;
    output = result.stdout;
  } catch {
    return "there is no apt-get: not a Debian system";
  }
  for (const line of output.split("\n")) {
    const [uri = "", release = "", component, origin, entry = ""] = line.split("|");
    if (component !== "main" || !RELEASES.test(release)) continue;
    if (origin !== "Debian" && !origin?.startsWith("$(")) continue;
    return { uri, signedBy: await findKeyring(entry) };
  }
  return "no source of apt is a Debian archive";
}

/** Reads Signed-By of the stanza or line that a source entry `file:number` names. */
async function findKeyring(entry: string): Promise<string | undefined> {
  const [, file = "", number = "1"] = /^(.*):(\d+)$/.exec(entry) ?? [];
  const text = await readFile(file, "utf8").catch(() => "");
  // apt counts the stanzas of a .sources file and the lines of a .list file, from 1.
  const parts = file.endsWith(".sources") ? text.split(/\n\s*\n/) : text.split("\n");
  return /signed-by\s*[:=]\s*(\/[^\s\],]+)/i.exec(parts[Number(number) - 1] ?? "")?.[1];
}
