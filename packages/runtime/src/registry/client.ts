import {
  ACCEPT_MANIFESTS,
  bareMediaType,
  CONFIG_BYTES_MAX,
  choosePlatform,
  type Descriptor,
  type Digest,
  documentKind,
  formatReference,
  type ImageReference,
  isVerifiable,
  MANIFEST_BYTES_MAX,
  type Manifest,
  type Platform,
  parseManifest,
} from "@keelson/oci";
import { readBlob, sha256, verifyBytes } from "./blob.ts";
import { type CredentialStore, noCredentials } from "./credentials.ts";
import { ContentError, RegistryError } from "./errors.ts";
import { HttpTransport, type HttpTransportOptions, readBody } from "./http.ts";
import { type Endpoint, RegistryConfig } from "./mirrors.ts";
import { RegistrySession, type RetryPolicy } from "./session.ts";

/** What {@link RegistryClient} needs; nothing is read from the machine by itself. */
export interface RegistryClientOptions {
  readonly credentials?: CredentialStore;
  readonly config?: RegistryConfig;
  readonly retry?: RetryPolicy;
  readonly transport?: HttpTransportOptions;
}

/** One image of a registry: its documents, verified, and where its blobs are. */
export interface RemoteImage {
  /** Of the manifest that was chosen, not of an index. */
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  /** Where it was found. */
  readonly endpoint: Endpoint;
}

/** Indexes in indexes. */
const DEPTH_MAX = 4;

/**
 * Pulls from registries that speak the distribution-spec. Tries the configured mirrors of a name and then its registry. Safe to use for several
 * images at once.
 */
export class RegistryClient implements Disposable {
  readonly #transport: HttpTransport;
  readonly #session: RegistrySession;
  readonly #config: RegistryConfig;

  constructor(options: RegistryClientOptions = {}) {
    this.#transport = new HttpTransport(options.transport);
    this.#session = new RegistrySession(this.#transport, options.credentials ?? noCredentials, options.retry);
    this.#config = options.config ?? new RegistryConfig();
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }

  /** Where an image may be, in order. @throws RegistryConfigError when it is blocked */
  endpoints(reference: ImageReference): Endpoint[] {
    return this.#config.endpoints(reference);
  }

  /**
   * Runs `use` with one place of the image after the other, until one succeeds.
   *
   * @throws the error of the registry itself, with those of its mirrors as details in the text
   */
  async anywhere<T>(
    reference: ImageReference,
    options: { readonly isPlainHttpAllowed: boolean },
    use: (endpoint: Endpoint) => Promise<T>,
  ): Promise<T> {
    const failures: string[] = [];
    const configured = this.endpoints(reference);
    const endpoints = options.isPlainHttpAllowed
      ? [...configured, ...configured.filter(isDefaultTls).map(plainTwin)]
      : configured;
    for (const endpoint of endpoints) {
      try {
        return await use(endpoint);
      } catch (error) {
        const isOurs = error instanceof RegistryError || error instanceof ContentError;
        if (!isOurs || endpoint === endpoints.at(-1)) {
          if (isOurs && failures.length > 0) error.message += ` (tried before: ${failures.join("; ")})`;
          throw error;
        }
        failures.push(`${endpoint.origin}: ${error.message}`);
      }
    }
    throw new RegistryError("protocol", `${formatReference(reference)} has no place to be pulled from`);
  }

  /** The image of a name at one place, for one platform. @throws RegistryError, ContentError, ImageDocumentError, PlatformError */
  async resolve(
    reference: ImageReference,
    endpoint: Endpoint,
    platform: Platform,
    signal?: AbortSignal,
  ): Promise<RemoteImage> {
    let found = await this.#manifest(endpoint, reference.digest ?? reference.tag ?? "latest", undefined, signal);
    for (let depth = 0; found.document.kind === "index"; depth++) {
      if (depth === DEPTH_MAX)
        throw new ContentError("media-type", `${formatReference(reference)}: indexes in indexes without end`);
      const chosen = choosePlatform(found.document.manifests, platform);
      found = await this.#manifest(endpoint, chosen.digest, chosen, signal);
    }
    return { digest: found.digest, manifest: found.document, manifestBytes: found.bytes, endpoint };
  }

  /** A small blob as a whole, such as a config. @throws RegistryError, ContentError */
  async readSmall(endpoint: Endpoint, descriptor: Descriptor, signal?: AbortSignal): Promise<Uint8Array> {
    if (descriptor.data !== undefined) {
      verifyBytes(descriptor.data, descriptor);
      return descriptor.data;
    }
    if (descriptor.size > CONFIG_BYTES_MAX) {
      throw new ContentError(
        "limit",
        `${descriptor.digest} is ${descriptor.size} bytes long; the limit is ${CONFIG_BYTES_MAX}`,
      );
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.readBlob(endpoint, descriptor, signal)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** See {@link readBlob}: nothing may be used before the iteration has ended. */
  readBlob(endpoint: Endpoint, descriptor: Descriptor, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    return readBlob(this.#session, endpoint, descriptor, signal);
  }

  async #manifest(endpoint: Endpoint, name: string, expected: Descriptor | undefined, signal: AbortSignal | undefined) {
    if (expected !== undefined && expected.size > MANIFEST_BYTES_MAX) {
      throw new ContentError(
        "limit",
        `${expected.digest} is ${expected.size} bytes long; the limit is ${MANIFEST_BYTES_MAX}`,
      );
    }
    const path = `manifests/${name}`;
    const response = await this.#session.request({ endpoint, path, headers: { accept: ACCEPT_MANIFESTS }, signal });
    const bytes = await readBody(response, expected?.size ?? MANIFEST_BYTES_MAX);
    const digest = checkManifest(bytes, name, expected, response.headers["docker-content-digest"]);
    return { bytes, digest, document: parseManifest(bytes, mediaTypeOf(response.headers["content-type"], expected)) };
  }
}

function isDefaultTls(endpoint: Endpoint): boolean {
  return endpoint.verifyTls;
}

/** Without encryption there are no credentials either. */
function plainTwin(endpoint: Endpoint): Endpoint {
  return { ...endpoint, origin: endpoint.origin.replace(/^https:/, "http:"), credentialHost: "" };
}

function checkManifest(bytes: Uint8Array, name: string, expected: Descriptor | undefined, stated: unknown): Digest {
  if (expected !== undefined) verifyBytes(bytes, expected);
  else if (name.includes(":")) verifyBytes(bytes, { digest: name as Digest, size: bytes.length });
  const digest = sha256(bytes);
  // Of a tag there is nothing to hold the content against but the registry's own word.
  const isOther =
    typeof stated === "string" && stated.startsWith("sha256:") && isVerifiable(stated as Digest) && stated !== digest;
  if (isOther && !name.includes(":")) {
    throw new ContentError("digest", `the manifest is ${digest}, but the registry calls it ${stated}`);
  }
  return digest;
}

/** What was expected wins, since its digest fits; else what the server says, if it says anything that could be right. */
function mediaTypeOf(contentType: string | undefined, expected: Descriptor | undefined): string | undefined {
  if (expected !== undefined && documentKind(expected.mediaType) !== undefined) return expected.mediaType;
  const served = contentType === undefined ? "" : bareMediaType(contentType);
  const isGeneric = ["", "application/json", "text/plain", "application/octet-stream", "binary/octet-stream"].includes(
    served,
  );
  return isGeneric ? undefined : served;
}
