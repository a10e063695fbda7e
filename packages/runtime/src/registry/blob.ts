import { createHash } from "node:crypto";
import { type Descriptor, type Digest, isVerifiable, parseContentRange } from "@keelson/oci";
import { ContentError, RegistryError } from "./errors.ts";
import { discard, type HttpResponse } from "./http.ts";
import type { Endpoint } from "./mirrors.ts";
import type { RegistrySession } from "./session.ts";

/** Breaks of one transfer, however far each try gets. */
const BREAKS_MAX = 50;
/** Fewer bytes than this are no progress. */
const PROGRESS_BYTES = 16 * 1024;

/**
 * The bytes of a blob, as they come. A transfer that breaks is taken up where it broke. The size is checked while bytes come, the digest at the end:
 * **nothing may be used before the iteration has ended without an error.**
 *
 * @throws ContentError, RegistryError
 */
export async function* readBlob(
  session: RegistrySession,
  endpoint: Endpoint,
  descriptor: Descriptor,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const check = new DigestCheck(descriptor.digest, descriptor.size);
  let failures = 0;
  for (let breaks = 0; ; breaks++) {
    const before = check.size;
    try {
      const response = await open(session, endpoint, descriptor, check.size, signal);
      for await (const chunk of bodyFrom(response, check.size)) {
        check.update(chunk);
        yield chunk;
      }
      if (check.size < descriptor.size) throw new Error(`it ended after ${check.size} of ${descriptor.size} bytes`);
      check.finish();
      return;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ContentError || error instanceof RegistryError) throw error;
      // Progress makes up for a break, but not for ever, and not a trickle.
      failures = check.size > before + PROGRESS_BYTES ? 0 : failures + 1;
      if (failures > session.retries || breaks >= BREAKS_MAX) {
        throw new RegistryError(
          "unreachable",
          `the transfer of ${descriptor.digest} from ${endpoint.origin} broke off`,
          { cause: error },
        );
      }
      await session.pause(failures + 1, undefined, signal);
    }
  }
}

async function open(
  session: RegistrySession,
  endpoint: Endpoint,
  { digest, size }: Descriptor,
  offset: number,
  signal: AbortSignal | undefined,
): Promise<HttpResponse> {
  const headers = offset > 0 ? { range: `bytes=${offset}-` } : {};
  const response = await session.request({
    endpoint,
    path: `blobs/${digest}`,
    headers: { accept: "*/*", ...headers },
    signal,
  });
  const fail = (problem: "size" | "encoding", text: string): never => {
    response.body.destroy();
    throw new ContentError(problem, `${digest} from ${endpoint.origin}: ${text}`);
  };
  const encoding = response.headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity")
    fail("encoding", `is sent as ${encoding}, which nobody asked for`);
  const stated = Number(response.headers["content-length"] ?? Number.NaN);
  if (response.status === 200 && !Number.isNaN(stated) && stated !== size) {
    fail("size", `the registry sends ${stated} bytes, but the manifest says ${size}`);
  }
  if (response.status === 206) {
    const range = parseContentRange(response.headers["content-range"] ?? "");
    const isAsked = range !== undefined && range.start === offset && (range.total ?? size) === size;
    if (!isAsked) fail("size", "the registry sends another part than was asked for");
  }
  return response;
}

/** A registry that ignores the range sends all again: what is there already is skipped. */
async function* bodyFrom(response: HttpResponse, offset: number): AsyncGenerator<Uint8Array> {
  let skip = response.status === 206 ? 0 : offset;
  try {
    for await (const chunk of response.chunks()) {
      const rest = chunk.subarray(skip);
      skip -= chunk.length - rest.length;
      if (rest.length > 0) yield rest;
    }
  } finally {
    if (!response.body.readableEnded) response.body.destroy();
    else discard(response);
  }
}

/** Counts and hashes. */
export class DigestCheck {
  readonly #digest: Digest;
  readonly #sizeMax: number;
  readonly #hash: ReturnType<typeof createHash>;
  #size = 0;

  /** @throws ContentError when the algorithm is unknown: content that cannot be verified is not used */
  constructor(digest: Digest, size: number) {
    if (!isVerifiable(digest)) throw new ContentError("digest", `${digest}: this kind of digest cannot be verified`);
    this.#digest = digest;
    this.#sizeMax = size;
    this.#hash = createHash(digest.slice(0, digest.indexOf(":")));
  }

  get size(): number {
    return this.#size;
  }

  /** @throws ContentError as soon as there are too many bytes */
  update(bytes: Uint8Array): void {
    this.#size += bytes.length;
    if (this.#size > this.#sizeMax) {
      throw new ContentError("size", `${this.#digest}: more bytes came than the ${this.#sizeMax} of the manifest`);
    }
    this.#hash.update(bytes);
  }

  /** @throws ContentError */
  finish(): void {
    if (this.#size !== this.#sizeMax) {
      throw new ContentError(
        "size",
        `${this.#digest}: ${this.#size} bytes came, but the manifest says ${this.#sizeMax}`,
      );
    }
    const found = this.#hash.digest("hex");
    const colon = this.#digest.indexOf(":");
    if (found !== this.#digest.slice(colon + 1)) {
      throw new ContentError(
        "digest",
        `${this.#digest}: the content that came is ${this.#digest.slice(0, colon)}:${found}`,
      );
    }
  }
}

/** The digest of some bytes. */
export function sha256(bytes: Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Checks bytes that are there as a whole. @throws ContentError */
export function verifyBytes(bytes: Uint8Array, { digest, size }: Pick<Descriptor, "digest" | "size">): void {
  const check = new DigestCheck(digest, size);
  check.update(bytes);
  check.finish();
}
