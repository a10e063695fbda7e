import { ProcessProvider, type ProviderFactory } from "@keelson/cluster";

export type Kind = "process" | "container" | "vm";

/** Makes the provider of a kind. What only some kinds need is loaded only for them. */
export function providerFactory(kind: Kind): ProviderFactory {
  switch (kind) {
    case "process":
      return async (directory) => new ProcessProvider({ directory });
    case "container":
      return async (directory) => (await import("@keelson/cluster/container")).createContainerProvider({ directory });
    case "vm":
      return async (directory) => (await import("@keelson/cluster/qemu")).createQemuProvider({ directory });
  }
}
