import { formatKeyFile, parseKeyFile } from "../core/keyfile.ts";
import { OstreeSysrootError } from "./errors.ts";

/** Where a deployment came from. At least one of the two is set. */
export interface Origin {
  /** `remote:ref` or `ref`. */
  readonly refspec?: string;
  /** The address it was pulled from. */
  readonly url?: string;
}

/** What a deployment's `.origin` file holds: upstream's groups, and one of our own for what its boot entry will need. */
export interface OriginFile {
  readonly origin: Origin;
  readonly kernelArgs: readonly string[];
  readonly pinned: boolean;
  /** Counts deployments as they are staged: a larger one is newer. 0 where another program wrote the file. */
  readonly sequence: number;
}

/** Parses a `.origin` file. @throws OstreeSysrootError naming the file */
export function parseOrigin(text: string, path: string): OriginFile {
  let groups: ReadonlyMap<string, ReadonlyMap<string, string>>;
  try {
    ({ groups } = parseKeyFile(text));
  } catch (cause) {
    throw new OstreeSysrootError(`${path} is no origin file; undeploy that deployment`, { path }, { cause });
  }
  const refspec = groups.get("origin")?.get("refspec");
  const sequence = groups.get("keelson")?.get("sequence") ?? "";
  const url = groups.get("keelson")?.get("url");
  return {
    origin: { ...(refspec !== undefined && { refspec }), ...(url !== undefined && { url }) },
    kernelArgs: splitList(groups.get("keelson")?.get("kernel-args") ?? ""),
    // Upstream keeps the pin in the same place, so that `ostree admin status` shows it.
    pinned: groups.get("libostree-transient")?.get("pinned") === "true",
    sequence: /^\d{1,9}$/.test(sequence) ? Number(sequence) : 0,
  };
}

/** The inverse of {@link parseOrigin}. */
export function formatOrigin({ origin, kernelArgs, pinned, sequence }: OriginFile): string {
  const own: [string, string][] = [["sequence", String(sequence)]];
  if (origin.url !== undefined) own.push(["url", origin.url]);
  if (kernelArgs.length > 0) own.push(["kernel-args", joinList(kernelArgs)]);
  const groups: [string, [string, string][]][] = [
    ["origin", origin.refspec === undefined ? [] : [["refspec", origin.refspec]]],
    ["keelson", own],
  ];
  if (pinned) groups.push(["libostree-transient", [["pinned", "true"]]]);
  return formatKeyFile(groups);
}

/** A kernel argument may hold anything but NUL and newlines; `%` and blanks are written as in a URL. */
function joinList(items: readonly string[]): string {
  return items.map((item) => item.replace(/[%\s]/g, (c) => encodeURIComponent(c))).join(" ");
}

function splitList(text: string): string[] {
  return text
    .split(" ")
    .filter((item) => item !== "")
    .map((item) => {
      try {
        return decodeURIComponent(item);
      } catch {
        return item; // written by hand
      }
    });
}
