import { isXattrName } from "../erofs/format.ts";
import { LayerError } from "../errors.ts";

/**
 * What is done with device nodes: `refuse`, `skip`, or `keep`. A device node is a way around the container where mounts allow devices. Those in /dev,
 * which old base images have, are left out rather than refused: a container has a /dev of its own and never sees them.
 */
export type DevicePolicy = "refuse" | "skip" | "keep";

/** Bounds of a layer. */
export interface LayerLimits {
  /** Entries with directories that were only implied. Default 1,000,000. */
  readonly entriesMax?: number;
  /** Bytes of content of all files. Default 64 GiB. */
  readonly contentBytesMax?: number;
  /** Default `refuse`. */
  readonly devices?: DevicePolicy;
}

/** Linux' NAME_MAX. */
const COMPONENT_BYTES_MAX = 255;
const XATTR_BYTES_MAX = 60 * 1024;

/**
 * The components of an entry's name; none for the root. `./` and doubled slashes are dropped.
 *
 * @throws LayerError for absolute names and for `..`, wherever it would lead: no honest tool writes either
 */
export function splitPath(name: string, of: string = name): string[] {
  if (name.startsWith("/")) throw new LayerError("escapes", "the name is absolute", of);
  const components = name.split("/").filter((component) => component !== "" && component !== ".");
  for (const component of components) {
    if (component === "..") throw new LayerError("escapes", "the name has a .. in it", of);
    if (component.length > COMPONENT_BYTES_MAX) {
      throw new LayerError("bad-name", `a part of the name is longer than ${COMPONENT_BYTES_MAX} bytes`, of);
    }
  }
  return components;
}

/**
 * Attributes that may go into an image: `user.*`, file capabilities and ACLs. Others are dropped: `trusted.overlay.*` and
 * `user.overlay.*` would steer overlayfs, labels of security modules are the host's business.
 *
 * @throws LayerError when they are too large
 */
export function keptXattrs(xattrs: ReadonlyMap<string, string>, name: string): ReadonlyMap<string, string> {
  if (xattrs.size === 0) return xattrs;
  const kept = new Map<string, string>();
  let bytes = 0;
  for (const [key, value] of xattrs) {
    const isUser = key.startsWith("user.") && !key.startsWith("user.overlay.");
    const isKnown = key === "security.capability" || key.startsWith("system.posix_acl_");
    if (!(isUser || isKnown) || !isXattrName(key)) continue;
    bytes += key.length + value.length + 8;
    if (bytes > XATTR_BYTES_MAX) {
      throw new LayerError("bad-attribute", `extended attributes of more than ${XATTR_BYTES_MAX} bytes`, name);
    }
    kept.set(key, value);
  }
  return kept;
}

/** A whiteout as AUFS names it, which is what layers use. image-spec layer.md "Whiteouts". */
export type Whiteout =
  | { readonly kind: "none" }
  | { readonly kind: "opaque" }
  | { readonly kind: "hides"; readonly name: string }
  /** AUFS' own bookkeeping, which old images have. */
  | { readonly kind: "ignored" };

/** What the last component of a name means. @throws LayerError for a whiteout that hides nothing or its own directory */
export function whiteoutOf(component: string, of: string): Whiteout {
  if (!component.startsWith(".wh.")) return { kind: "none" };
  if (component === ".wh..wh..opq") return { kind: "opaque" };
  if (component.startsWith(".wh..wh.")) return { kind: "ignored" };
  const name = component.slice(".wh.".length);
  if (name === "" || name === "." || name === "..") {
    throw new LayerError("bad-whiteout", "a whiteout that names nothing that could be hidden", of);
  }
  return { kind: "hides", name };
}
