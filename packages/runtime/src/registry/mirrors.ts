import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { formatReference, type ImageReference, isRegistryHost } from "@keelson/oci";
import { z } from "zod";
import { RegistryConfigError } from "./errors.ts";

/** How a host is spoken to: checked certificates, any certificate, or plain HTTP. */
export type TlsMode = "verify" | "skip-verify" | "off";

/** One place where an image may be. */
export interface Endpoint {
  /** `http://127.0.0.1:5000`, without a path. */
  readonly origin: string;
  /** Name of the repository there. */
  readonly repository: string;
  readonly verifyTls: boolean;
  /** Key of its credentials: a mirror never gets those of the registry it mirrors. */
  readonly credentialHost: string;
  readonly isMirror: boolean;
}

const tls = z.enum(["verify", "skip-verify", "off"]);
const location = z.string().min(1).max(255);
const fileSchema = z.strictObject({
  registries: z
    .array(
      z.strictObject({
        /** `docker.io`, `docker.io/library`, `quay.io/team/app`. */
        prefix: location,
        /** Where it really is; default the prefix itself. */
        location: location.optional(),
        tls: tls.optional(),
        blocked: z.boolean().optional(),
        mirrors: z
          .array(z.strictObject({ location, tls: tls.optional() }))
          .max(16)
          .default([]),
      }),
    )
    .max(1_000),
});

type RegistryRule = z.infer<typeof fileSchema>["registries"][number];

/** Directories of registries' configuration; a file of a later one replaces one of the same name before. */
export const REGISTRY_CONFIG_DIRECTORIES: readonly string[] = [
  "/usr/lib/keelson/registries.d",
  "/etc/keelson/registries.d",
  "/run/keelson/registries.d",
];

/** Which hosts serve which names: `*.json` files of `{"registries":[{"prefix","location","tls","blocked","mirrors"}]}`. */
export class RegistryConfig {
  readonly #rules: readonly RegistryRule[];

  /** @throws RegistryConfigError */
  constructor(rules: unknown = { registries: [] }, where = "the registries' configuration") {
    const result = fileSchema.safeParse(rules);
    if (!result.success) throw new RegistryConfigError(`${where}: ${z.prettifyError(result.error)}`, { where });
    for (const rule of result.data.registries) checkRule(rule, where);
    this.#rules = result.data.registries;
  }

  /** Reads directories. A prefix that is in several files is the last one's. @throws RegistryConfigError that names the file */
  static async load(directories: readonly string[]): Promise<RegistryConfig> {
    const files = new Map<string, string>();
    for (const directory of directories) {
      const names = await readdir(directory).catch(() => []);
      for (const name of names.filter((n) => n.endsWith(".json"))) files.set(name, join(directory, name));
    }
    const rules = new Map<string, RegistryRule>();
    for (const name of [...files.keys()].sort()) {
      const path = files.get(name) ?? "";
      const config = new RegistryConfig(await readConfig(path), path);
      for (const rule of config.#rules) rules.set(rule.prefix, rule);
    }
    return new RegistryConfig({ registries: [...rules.values()] });
  }

  /** Where to look for an image, in order. @throws RegistryConfigError when its registry is blocked */
  endpoints(reference: ImageReference): Endpoint[] {
    const name = `${reference.registry}/${reference.repository}`;
    const rule = this.#rules
      .filter((r) => name === r.prefix || name.startsWith(`${r.prefix}/`))
      .sort((a, b) => b.prefix.length - a.prefix.length)[0];
    if (rule?.blocked === true) {
      throw new RegistryConfigError(`${formatReference(reference)}: the configuration blocks ${rule.prefix}`);
    }
    const rest = rule === undefined ? "" : name.slice(rule.prefix.length);
    const mirrors = (rule?.mirrors ?? []).map((m) => endpoint(m.location + rest, m.tls, true));
    return [...mirrors, endpoint(rule === undefined ? name : (rule.location ?? rule.prefix) + rest, rule?.tls, false)];
  }
}

function checkRule(rule: RegistryRule, where: string): void {
  for (const place of [rule.prefix, rule.location ?? rule.prefix, ...rule.mirrors.map((m) => m.location)]) {
    const [host = "", ...path] = place.split("/");
    const isPathGood = path.every((part) => /^[a-z0-9]+(?:[._-]+[a-z0-9]+)*$/.test(part));
    if (!isRegistryHost(host) || !isPathGood) {
      throw new RegistryConfigError(`${where}: ${JSON.stringify(place)} is not host[:port][/path]`, { where });
    }
  }
}

async function readConfig(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw new RegistryConfigError(`cannot read ${path}`, { path }, { cause });
  }
}

function endpoint(name: string, mode: TlsMode | undefined, isMirror: boolean): Endpoint {
  const slash = name.indexOf("/");
  const host = name.slice(0, slash);
  const repository = name.slice(slash + 1);
  // Docker Hub's API has another name than its images.
  const server = host === "docker.io" ? "registry-1.docker.io" : host;
  const actual = mode ?? (isLoopback(host) ? "off" : "verify");
  return {
    origin: `${actual === "off" ? "http" : "https"}://${server}`,
    repository,
    verifyTls: actual === "verify",
    credentialHost: host,
    isMirror,
  };
}

/** Plain HTTP needs no permission where nobody is in between. */
function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, "");
  return name === "localhost" || name === "[::1]" || /^127(\.\d{1,3}){3}$/.test(name);
}
