// Pure: encodings, names, plans.
export * from "./core/errors.ts";
export * from "./core/objects.ts";
export type { Metadata, Variant, VariantValue } from "./core/variant.ts";

// Repositories.
export type { RemoteConfig, RepoConfig } from "./repo/config.ts";
export type * from "./repo/port.ts";
