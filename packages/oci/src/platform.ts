import { PlatformError } from "./errors.ts";
import type { Descriptor, Platform } from "./manifest.ts";

/** What variant an architecture has when none is said, and which older ones it also runs. image-spec image-index.md "Platform Variants". */
const VARIANTS: Readonly<Record<string, { readonly implied: string; readonly order: readonly string[] }>> = {
  amd64: { implied: "v1", order: ["v4", "v3", "v2", "v1"] },
  arm: { implied: "v7", order: ["v8", "v7", "v6", "v5"] },
  arm64: { implied: "v8", order: ["v9", "v8"] },
};
/** Names that other tools use. */
const ARCHITECTURE_ALIASES: Readonly<Record<string, string>> = {
  x86_64: "amd64",
  x64: "amd64",
  aarch64: "arm64",
  ia32: "386",
  i386: "386",
};

/** The platform in Go's names, whatever the names it came with (`x64`, `aarch64`). */
export function normalisePlatform(platform: Platform): Platform {
  const architecture = platform.architecture.toLowerCase();
  return {
    ...platform,
    os: platform.os.toLowerCase(),
    architecture: Object.hasOwn(ARCHITECTURE_ALIASES, architecture)
      ? (ARCHITECTURE_ALIASES[architecture] ?? architecture)
      : architecture,
  };
}

/** `linux/arm/v7`. */
export function formatPlatform(platform: Platform): string {
  return `${platform.os}/${platform.architecture}${platform.variant === undefined ? "" : `/${platform.variant}`}`;
}

/**
 * How well an image for `has` runs on a machine of `wants`: 0 is exactly, more is an older variant, undefined is not at all.
 */
export function platformDistance(wants: Platform, has: Platform): number | undefined {
  const want = normalisePlatform(wants);
  const have = normalisePlatform(has);
  if (want.os !== have.os || want.architecture !== have.architecture) return undefined;
  const variants = Object.hasOwn(VARIANTS, want.architecture) ? VARIANTS[want.architecture] : undefined;
  if (variants === undefined) return want.variant === have.variant || have.variant === undefined ? 0 : undefined;
  const wanted = variants.order.indexOf(want.variant ?? variants.implied);
  const offered = variants.order.indexOf(have.variant ?? variants.implied);
  if (wanted < 0 || offered < 0) return want.variant === have.variant ? 0 : undefined;
  return offered < wanted ? undefined : offered - wanted;
}

/**
 * Chooses from an index: the nearest variant, among equals the first, as the image-spec says. An index with a single entry without a platform
 * is taken as it is. Entries that are no images (attestations say `unknown/unknown`) never match.
 *
 * @throws PlatformError that lists what there is
 */
export function choosePlatform(manifests: readonly Descriptor[], wants: Platform): Descriptor {
  let best: Descriptor | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const entry of manifests) {
    const distance = entry.platform === undefined ? undefined : platformDistance(wants, entry.platform);
    if (distance === undefined || distance >= bestDistance) continue;
    best = entry;
    bestDistance = distance;
  }
  if (best !== undefined) return best;
  const [only] = manifests;
  if (only !== undefined && manifests.length === 1 && only.platform === undefined) return only;
  const there = manifests.map((m) => (m.platform === undefined ? "unspecified" : formatPlatform(m.platform)));
  const list = there.length === 0 ? "nothing" : [...new Set(there)].slice(0, 20).join(", ");
  throw new PlatformError(`there is no image for ${formatPlatform(wants)}; the index has ${list}`, {
    there: there.length,
  });
}
