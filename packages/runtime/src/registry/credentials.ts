import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Json, parseJson, Reader } from "@keelson/oci";
import { RegistryConfigError } from "./errors.ts";

/** What one proves with who one is. Never to be logged. */
export type Credentials =
  | { readonly kind: "basic"; readonly username: string; readonly password: string }
  /** A refresh token, to be exchanged at the token server. */
  | { readonly kind: "identity"; readonly token: string };

/** Finds credentials of a registry host, or of a part of it. */
export interface CredentialStore {
  find(registry: string, repository: string): Credentials | undefined;
}

/** Where credentials are looked for. */
export interface CredentialPaths {
  /** Files as podman and docker write them, the most important first. */
  readonly authFiles?: readonly string[];
  /** Directories of rkt's auth.d, the most important first. */
  readonly rktDirectories?: readonly string[];
}

const FILE_BYTES_MAX = 1024 * 1024;

/** Paths as upstream's programs have them. */
export function defaultCredentialPaths(home: string | undefined): Required<CredentialPaths> {
  return {
    authFiles: ["/etc/containers/auth.json", ...(home === undefined ? [] : [join(home, ".docker/config.json")])],
    rktDirectories: ["/etc/rkt/auth.d", "/usr/lib/rkt/auth.d"],
  };
}

/** Nobody's. */
export const noCredentials: CredentialStore = { find: () => undefined };

/**
 * Reads all credentials once. Files and directories that are not there are skipped.
 * containers-auth.json(5); rkt Documentation/configuration.md "rktKind: auth, dockerAuth".
 *
 * @throws RegistryConfigError that names the file, never what is in it
 */
export async function loadCredentials(paths: CredentialPaths): Promise<CredentialStore> {
  const layers: Map<string, Credentials>[] = [];
  for (const path of paths.authFiles ?? []) layers.push(await readAuthFile(path));
  for (const directory of paths.rktDirectories ?? []) layers.push(await readRktDirectory(directory));
  return {
    find(registry, repository) {
      for (const layer of layers) {
        for (const key of keysOf(registry, repository)) {
          const found = layer.get(key);
          if (found !== undefined) return found;
        }
      }
      return undefined;
    },
  };
}

/** Most specific first: `host/a/b`, `host/a`, `host`. */
function keysOf(registry: string, repository: string): string[] {
  const parts = [registry, ...repository.split("/")];
  return parts.map((_, i) => parts.slice(0, parts.length - i).join("/"));
}

/** `https://index.docker.io/v1/` is what docker calls docker.io. */
function normaliseKey(key: string): string {
  const bare = key
    .replace(/^https?:\/\//, "")
    .replace(/\/v[12]\/?$/, "")
    .replace(/\/+$/, "");
  return bare.replace(/^(index\.docker\.io|registry-1\.docker\.io)(?=\/|$)/, "docker.io");
}

async function readJson(path: string): Promise<Reader | undefined> {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT" || cause.code === "ENOTDIR") return undefined;
    throw new RegistryConfigError(`cannot read ${path}`, { path }, { cause });
  });
  if (bytes === undefined) return undefined;
  return parsed(path, () => {
    if (bytes.length > FILE_BYTES_MAX) throw new Error(`larger than ${FILE_BYTES_MAX} bytes`);
    const value: Json = parseJson(bytes.toString("utf8"), path);
    return new Reader(path, value);
  });
}

function parsed<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new RegistryConfigError(`cannot use the credentials of ${path}`, { path }, { cause });
  }
}

async function readAuthFile(path: string): Promise<Map<string, Credentials>> {
  const result = new Map<string, Credentials>();
  const reader = await readJson(path);
  if (reader === undefined) return result;
  return parsed(path, () => {
    for (const [key, entry] of reader.field("auths").entries(10_000)) {
      const identity = entry.field("identitytoken").optionalString(64 * 1024) ?? "";
      const auth = entry.field("auth").optionalString(64 * 1024) ?? "";
      if (identity !== "") result.set(normaliseKey(key), { kind: "identity", token: identity });
      else if (auth !== "") result.set(normaliseKey(key), decodeBasic(entry.field("auth"), auth));
    }
    return result;
  });
}

function decodeBasic(field: Reader, auth: string): Credentials {
  const text = Buffer.from(auth, "base64").toString("utf8").replace(/\0+$/, "");
  const colon = text.indexOf(":");
  if (colon < 1) throw field.fail("is not the base64 of user:password");
  return { kind: "basic", username: text.slice(0, colon), password: text.slice(colon + 1) };
}

async function readRktDirectory(directory: string): Promise<Map<string, Credentials>> {
  const result = new Map<string, Credentials>();
  const names = await readdir(directory).catch(() => []);
  for (const name of names.filter((n) => n.endsWith(".json")).sort()) {
    const path = join(directory, name);
    const reader = await readJson(path);
    if (reader !== undefined) parsed(path, () => readRktFile(reader, result));
  }
  return result;
}

/** Both kinds of rkt: `dockerAuth` for registries, `auth` for domains; of the latter only basic makes sense for a registry. */
function readRktFile(reader: Reader, into: Map<string, Credentials>): void {
  const kind = reader.field("rktKind").string(64);
  const version = reader.field("rktVersion").string(16);
  if (version !== "v1") throw reader.field("rktVersion").fail('is not "v1"');
  const isDomains = kind === "auth" && reader.field("type").optionalString(64) === "basic";
  if (kind !== "dockerAuth" && !isDomains) return;
  const field = reader.field("credentials");
  const credentials: Credentials = {
    kind: "basic",
    username: field.field("user").string(4096),
    password: field.field("password").string(4096),
  };
  const hosts = reader.field(isDomains ? "domains" : "registries").strings(1_000, 512);
  for (const host of hosts.map(normaliseKey)) {
    if (into.has(host)) throw reader.fail(`${host} has credentials in two files of one directory`);
    into.set(host, credentials);
  }
}
