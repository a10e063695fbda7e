import type { Digest } from "@keelson/oci";
import { RegistryClient } from "../registry/client.ts";
import { type CredentialPaths, defaultCredentialPaths, loadCredentials } from "../registry/credentials.ts";
import { REGISTRY_CONFIG_DIRECTORIES, RegistryConfig } from "../registry/mirrors.ts";
import type { RetryPolicy } from "../registry/session.ts";
import { ImageNotFoundError } from "../store/errors.ts";
import { type ImageStore, type ImageStoreOptions, openImageStore, type StoredImage } from "../store/store.ts";

/** What {@link openMachineImages} takes in place of this machine's own settings. */
export interface MachineImagesOptions extends Omit<ImageStoreOptions, "client"> {
  /** The user's home, for `~/.docker/config.json`. */
  readonly home?: string;
  /** Default: {@link defaultCredentialPaths}. */
  readonly credentials?: CredentialPaths;
  /** Default: {@link REGISTRY_CONFIG_DIRECTORIES}. */
  readonly registryDirectories?: readonly string[];
  readonly retry?: RetryPolicy;
}

/** The image store with a registry client that has the machine's credentials and mirrors. Dispose it to close connections. */
export interface MachineImages extends Disposable {
  readonly store: ImageStore;
}

/** Opens the store as `rkt` uses it. @throws RegistryConfigError, StoreError */
export async function openMachineImages(options: MachineImagesOptions = {}): Promise<MachineImages> {
  const { home, credentials, registryDirectories, retry, ...store } = options;
  const client = new RegistryClient({
    credentials: await loadCredentials(credentials ?? defaultCredentialPaths(home)),
    config: await RegistryConfig.load(registryDirectories ?? REGISTRY_CONFIG_DIRECTORIES),
    ...(retry === undefined ? {} : { retry }),
  });
  return {
    store: await openImageStore({ ...store, client }),
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
}

/** The store as what prepares pods wants it: an image that is not here is no error, since it can be pulled. */
export function podImages(store: ImageStore): {
  get(name: string): Promise<StoredImage | undefined>;
  pull(name: string, options: { readonly isPlainHttpAllowed: boolean }): Promise<StoredImage>;
} {
  return {
    async get(name) {
      try {
        return await store.get(name);
      } catch (error) {
        if (error instanceof ImageNotFoundError) return undefined;
        throw error;
      }
    },
    pull: (name, { isPlainHttpAllowed }) => store.pull(name, { isPlainHttpAllowed }),
  };
}

/** Ids and layers for {@link ImageStoreOptions.inUse}. */
export function digestsInUse(pods: Iterable<{ readonly id: string; readonly diffIds: readonly string[] }>): Digest[] {
  return [...pods].flatMap(({ id, diffIds }) => [id as Digest, ...(diffIds as readonly Digest[])]);
}
