import { type Digest, isDigest } from "./digest.ts";
import { ImageReferenceError } from "./errors.ts";

/** An image name in full: nothing is left to defaults but the tag of a name with a digest. */
export interface ImageReference {
  /** Host with optional port; `docker.io` for Docker Hub. */
  readonly registry: string;
  /** `library/debian`, `team/app`. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** distribution-spec: the name with its host must not be longer. */
const NAME_LENGTH_MAX = 255;
const HUB = "docker.io";
/** Names under which people know Docker Hub. */
const HUB_ALIASES = new Set(["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"]);

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[0-9a-fA-F:.]+\\])(?::([0-9]{1,5}))?$`);

/**
 * Reads an image name as people write it: `debian`, `debian:13`, `localhost:5000/app@sha256:…`, also with `docker://` before it.
 * Without a registry it is Docker Hub's, there without a slash `library/`'s; without tag and digest the tag is `latest`.
 *
 * @throws ImageReferenceError
 */
export function parseReference(text: string): ImageReference {
  const fail = (problem: string) => new ImageReferenceError(text, problem);
  if (text.length > 1024) throw fail("longer than 1024 characters");
  let rest = text.startsWith("docker://") ? text.slice("docker://".length) : text;
  if (rest === "") throw fail("is empty");

  let digest: Digest | undefined;
  const at = rest.indexOf("@");
  if (at >= 0) {
    const given = rest.slice(at + 1);
    if (!isDigest(given)) throw fail("what follows the @ is not a digest such as sha256:<64 hex digits>");
    digest = given;
    rest = rest.slice(0, at);
  }
  let tag: string | undefined;
  const colon = rest.indexOf(":", rest.lastIndexOf("/") + 1);
  if (colon >= 0) {
    tag = rest.slice(colon + 1);
    if (!TAG.test(tag))
      throw fail("the tag must be 1 to 128 letters, digits, `_`, `.` or `-`, and not start with `.` or `-`");
    rest = rest.slice(0, colon);
  }
  const { registry, repository } = splitName(rest, fail);
  if (tag === undefined && digest === undefined) tag = "latest";
  return {
    registry,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

function splitName(name: string, fail: (problem: string) => Error): { registry: string; repository: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const hasHost = looksLikeHost(first);
  let registry = hasHost ? first : HUB;
  if (!isRegistryHost(registry)) throw fail(`${JSON.stringify(registry)} is not a host with an optional port`);
  registry = registry.toLowerCase();
  if (HUB_ALIASES.has(registry)) registry = HUB;
  let repository = hasHost ? name.slice(slash + 1) : name;
  if (registry === HUB && !repository.includes("/")) repository = `library/${repository}`;
  for (const component of repository.split("/")) {
    if (!COMPONENT.test(component)) {
      throw fail(
        `${JSON.stringify(component)} is not a repository name: lower-case letters and digits, with single . _ __ or dashes between them`,
      );
    }
  }
  if (registry.length + 1 + repository.length > NAME_LENGTH_MAX)
    throw fail(`the name is longer than ${NAME_LENGTH_MAX}`);
  return { registry, repository };
}

/** Without a dot or a port it is the first part of a repository's name, but for `localhost`. */
function looksLikeHost(component: string): boolean {
  return component.includes(".") || component.includes(":") || component.toLowerCase() === "localhost";
}

/** Whether `text` is a host name, IPv4 address or bracketed IPv6 address, with an optional port. */
export function isRegistryHost(text: string): boolean {
  const match = HOST.exec(text);
  if (match === null || text.length > NAME_LENGTH_MAX) return false;
  return match[1] === undefined || (Number(match[1]) > 0 && Number(match[1]) < 65_536);
}

/** The name in full, as it is stored: `docker.io/library/debian:13`. {@link parseReference} reads it back. */
export function formatReference(reference: ImageReference): string {
  const { registry, repository, tag, digest } = reference;
  return `${registry}/${repository}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** The name as people write it: `debian:13`. {@link parseReference} reads it back as the same. */
export function shortReference(reference: ImageReference): string {
  const full = formatReference(reference);
  if (reference.registry !== HUB) return full;
  const name = full.slice(HUB.length + 1);
  const library = name.startsWith("library/") ? name.slice("library/".length) : name;
  if (!library.includes("/")) return library;
  return looksLikeHost(name.slice(0, name.indexOf("/"))) ? full : name;
}
