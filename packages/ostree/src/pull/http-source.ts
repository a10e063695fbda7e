import { Agent, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";
import type { Clock } from "@keelson/types";
import { retryDelayMs, wait } from "./backoff.ts";
import { OstreeBadRemoteError, OstreeFetchError } from "./errors.ts";
import { nextChunk, SpeedGuard, type SpeedLimits } from "./speed-guard.ts";

/** Where and how files are fetched. */
export interface HttpSourceOptions {
  /** The repository: `http:` or `https:`; a user and password in it are sent as basic authorization, to this host only. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Connections at most. */
  readonly parallel: number;
  /** Further tries after a failure that may pass. */
  readonly retries: number;
  /** Before the first retry; doubled before each further one. */
  readonly retryDelayMs: number;
  readonly limits: SpeedLimits;
  /** Certificate authorities in PEM instead of the system's. */
  readonly ca?: string | Uint8Array;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called with the bytes of each piece of a body that arrives. */
  readonly onBytes: (bytes: number) => void;
}

/** A file that is being fetched. */
export interface RemoteFile {
  readonly url: string;
  /** What the server says, bytes; undefined when it does not. */
  readonly length: number | undefined;
  /** Read it to its end or return from it. A broken connection is resumed where it broke. */
  readonly body: AsyncIterableIterator<Uint8Array>;
}

const REDIRECTS_MAX = 5;
/** A retry after this much has arrived counts as the first again. */
const PROGRESS_BYTES = 1024 * 1024;

/** Files below one URL, fetched over kept-alive connections. */
export class HttpSource implements Disposable {
  /** Without credentials; ends with a slash. */
  readonly url: string;
  readonly #base: URL;
  readonly #options: HttpSourceOptions;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #agents: { readonly plain: Agent; readonly tls: TlsAgent };

  constructor(options: HttpSourceOptions) {
    this.#base = parseBase(options.url);
    this.#headers = { ...basicAuthorization(this.#base), ...options.headers };
    this.#base.username = "";
    this.#base.password = "";
    this.url = this.#base.href;
    this.#options = options;
    const pool = { keepAlive: true, maxSockets: options.parallel, scheduling: "lifo" as const };
    this.#agents = { plain: new Agent(pool), tls: new TlsAgent(pool) };
  }

  [Symbol.dispose](): void {
    this.#agents.plain.destroy();
    this.#agents.tls.destroy();
  }

  /** The address of a file, for messages. */
  urlOf(path: string): string {
    return new URL(path, this.#base).href;
  }

  /**
   * A small file, whole; undefined when the server has none.
   *
   * @throws OstreeFetchError
   */
  async get(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
    const file = await this.open(path, () => bytesMax);
    if (file === undefined) return undefined;
    const chunks: Uint8Array[] = [];
    for await (const chunk of file.body) chunks.push(chunk);
    return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
  }

  /**
   * Begins to fetch a file; undefined when the server has none (404 or 410). `bytesMax` is asked before each piece is given
   * out, so that it may depend on what the first pieces say. `fresh` asks caches on the way for the origin's copy.
   *
   * @throws OstreeFetchError, also from the body
   */
  async open(path: string, bytesMax: () => number, fresh = false): Promise<RemoteFile | undefined> {
    const url = new URL(path, this.#base);
    const tries = new Tries(this.#options);
    const first = await tries.run(url.href, () => this.#request(url, 0, fresh));
    if (first === undefined) return undefined;
    const length = contentLength(first);
    if (length !== undefined && length > bytesMax()) {
      first.destroy();
      throw tooLarge(url.href, `it has ${length} bytes, ${bytesMax()} are allowed`);
    }
    return { url: url.href, length, body: this.#body(url, first, tries, bytesMax) };
  }

  async *#body(url: URL, first: IncomingMessage, tries: Tries, bytesMax: () => number): AsyncGenerator<Uint8Array> {
    let response: IncomingMessage | undefined = first;
    let received = 0;
    let skip = 0;
    try {
      for (;;) {
        try {
          response ??= await this.#request(url, received, false);
          if (response === undefined) throw new OstreeFetchError(url.href, "missing", "it vanished while it was read");
          if (response !== first) skip = response.statusCode === 206 ? 0 : received;
          for await (const chunk of this.#chunks(url, response)) {
            const news = chunk.subarray(Math.min(skip, chunk.length));
            skip -= chunk.length - news.length;
            if (news.length === 0) continue;
            received += news.length;
            if (received > bytesMax()) throw tooLarge(url.href, `it does not end after ${bytesMax()} bytes`);
            tries.progress(news.length);
            yield news;
          }
          return;
        } catch (error) {
          response?.destroy();
          response = undefined;
          await tries.failed(url.href, error);
        }
      }
    } finally {
      response?.destroy();
    }
  }

  /** One connection's worth of a body. */
  async *#chunks(url: URL, response: IncomingMessage): AsyncGenerator<Uint8Array> {
    const { clock, limits, onBytes } = this.#options;
    const expected = contentLength(response);
    const guard = new SpeedGuard(clock, limits);
    const source = response[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    let bytes = 0;
    for (;;) {
      const next = await nextChunk(source, url.href, guard);
      if (next.done === true) break;
      bytes += next.value.length;
      onBytes(next.value.length);
      yield next.value;
    }
    if (expected !== undefined && bytes < expected) {
      throw new OstreeFetchError(url.href, "truncated", `it ended after ${bytes} of ${expected} bytes`);
    }
  }

  /** One request, redirects followed; undefined when there is no such file. */
  async #request(url: URL, from: number, fresh: boolean): Promise<IncomingMessage | undefined> {
    let target = url;
    for (let hops = 0; hops <= REDIRECTS_MAX; hops++) {
      const response = await this.#send(target, from, fresh);
      const { statusCode: status = 0 } = response;
      if (status === 200 || (status === 206 && from > 0 && startsAt(response, from))) return response;
      passOver(response);
      // It broke after the last byte, or the server's copy is another now: what is known is passed over.
      if (status === 416 && from > 0) return await this.#request(url, 0, fresh);
      if (status === 404 || status === 410) return undefined;
      if (status < 300 || status > 399) throw badStatus(url.href, status, response.headers["retry-after"]);
      target = this.#redirected(url, target, response.headers.location);
    }
    throw new OstreeFetchError(url.href, "redirect", `more than ${REDIRECTS_MAX} redirects`);
  }

  #redirected(url: URL, from: URL, location: string | undefined): URL {
    const to = location === undefined || !URL.canParse(location, from.href) ? undefined : new URL(location, from);
    if (to === undefined) throw new OstreeFetchError(url.href, "redirect", "a redirect to no valid address");
    const shown = `${to.protocol}//${to.host}${to.pathname}`;
    if (to.protocol !== "https:" && to.protocol !== from.protocol) {
      throw new OstreeFetchError(url.href, "redirect", `a redirect from ${from.protocol}// to ${shown}`);
    }
    // Whoever can make the server redirect would otherwise be given the password.
    if (to.origin !== this.#base.origin && Object.keys(this.#headers).length > 0) {
      throw new OstreeFetchError(
        url.href,
        "redirect",
        `a redirect to another host, ${shown}, while credentials are set`,
      );
    }
    return to;
  }

  #send(target: URL, from: number, fresh: boolean): Promise<IncomingMessage> {
    const { signal, clock, limits, ca } = this.#options;
    const isTls = target.protocol === "https:";
    const options: RequestOptions & { ca?: string | Buffer } = {
      agent: isTls ? this.#agents.tls : this.#agents.plain,
      headers: {
        ...(target.origin === this.#base.origin ? this.#headers : {}),
        "user-agent": "keelson-ostree",
        "accept-encoding": "identity",
        ...(from > 0 && { range: `bytes=${from}-` }),
        ...(fresh && { "cache-control": "no-cache" }),
      },
      signal,
      ...(ca !== undefined && { ca: typeof ca === "string" ? ca : Buffer.from(ca) }),
    };
    return new Promise((resolve, reject) => {
      const outgoing = (isTls ? tlsRequest : httpRequest)(target, options);
      const timer = clock.after(limits.idleMs, () =>
        outgoing.destroy(new OstreeFetchError(target.href, "timeout", `no answer within ${limits.idleMs} ms`)),
      );
      outgoing.once("response", (response) => {
        timer[Symbol.dispose]();
        // An error after the body was given up has nobody else to hear it.
        response.on("error", () => {});
        resolve(response);
      });
      outgoing.once("error", (cause) => {
        timer[Symbol.dispose]();
        if (signal.aborted) reject(signal.reason);
        else reject(cause instanceof OstreeFetchError ? cause : unreachable(target.href, cause));
      });
      outgoing.end();
    });
  }
}

/** Counts failures and waits between them. */
class Tries {
  readonly #options: HttpSourceOptions;
  #failures = 0;
  #bytes = 0;

  constructor(options: HttpSourceOptions) {
    this.#options = options;
  }

  async run<T>(url: string, attempt: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        await this.failed(url, error);
      }
    }
  }

  /** Waits before the next try, or throws when there is to be none. */
  async failed(url: string, cause: unknown): Promise<void> {
    const { signal, retries, clock } = this.#options;
    signal.throwIfAborted();
    const error = cause instanceof OstreeFetchError ? cause : unreachable(url, cause);
    this.#failures++;
    if (!isPassing(error)) throw error;
    if (this.#failures > retries) {
      if (this.#failures === 1) throw error;
      throw new OstreeFetchError(url, error.problem, error.what, { cause: error.cause, tries: this.#failures });
    }
    const asked = retryAfterMs(error);
    await wait(clock, asked ?? retryDelayMs(this.#failures, this.#options.retryDelayMs), signal);
  }

  progress(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < PROGRESS_BYTES) return;
    this.#bytes = 0;
    this.#failures = 0;
  }
}

/** A {@link OstreeFetchError} of an HTTP status. */
class StatusError extends OstreeFetchError {
  readonly status: number;
  readonly retryAfter: string | undefined;

  constructor(url: string, status: number, what: string, retryAfter: string | undefined) {
    super(url, "status", what);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

function badStatus(url: string, status: number, retryAfter: string | undefined): OstreeFetchError {
  return new StatusError(url, status, `the server answered with status ${status}`, retryAfter);
}

/** Whether another try may go better. */
function isPassing(error: OstreeFetchError): boolean {
  if (error instanceof StatusError) return error.status >= 500 || error.status === 408 || error.status === 429;
  return error.problem !== "too-large" && error.problem !== "redirect" && error.problem !== "missing";
}

function retryAfterMs(error: OstreeFetchError): number | undefined {
  if (!(error instanceof StatusError) || error.retryAfter === undefined) return undefined;
  const seconds = Number(error.retryAfter);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds * 1000, 30_000) : undefined;
}

function unreachable(url: string, cause: unknown): OstreeFetchError {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (code === "ECONNRESET" || code === "EPIPE") {
    return new OstreeFetchError(url, "truncated", "the server closed the connection in the middle", { cause });
  }
  return new OstreeFetchError(url, "unreachable", code === undefined ? "no connection" : `no connection (${code})`, {
    cause,
  });
}

function tooLarge(url: string, what: string): OstreeFetchError {
  return new OstreeFetchError(url, "too-large", what);
}

function contentLength(response: IncomingMessage): number | undefined {
  const text = response.headers["content-length"];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The body of an answer that is not used: a short one is read, so that the connection can be used again. */
function passOver(response: IncomingMessage): void {
  if ((contentLength(response) ?? Number.POSITIVE_INFINITY) <= 64 * 1024) response.resume();
  else response.destroy();
}

function startsAt(response: IncomingMessage, offset: number): boolean {
  return new RegExp(`^bytes ${offset}-`).test(response.headers["content-range"] ?? "");
}

function parseBase(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new OstreeBadRemoteError("the URL of a repository begins with http:// or https://", {
      url: text.replace(/\/\/[^/@]*@/, "//"),
    });
  }
  url.search = "";
  url.hash = "";
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

function basicAuthorization(url: URL): Record<string, string> {
  if (url.username === "" && url.password === "") return {};
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return { authorization: `Basic ${Buffer.from(pair, "utf8").toString("base64")}` };
}
