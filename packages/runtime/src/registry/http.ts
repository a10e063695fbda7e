import { Agent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { getCACertificates } from "node:tls";
import { RegistryError } from "./errors.ts";

/** One request. */
export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** False: any certificate will do. Only where the configuration says so. */
  readonly verifyTls: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** An answer whose body was not read yet: read it with {@link readBody} or drop it with {@link discard}. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: IncomingMessage;
  readonly url: URL;
  /** The body as it comes. Throws when it breaks off, and when it only trickles: less than 16 KiB in the time that a connection may be idle. */
  chunks(): AsyncIterable<Uint8Array>;
}

/** Bounds of {@link HttpTransport}. */
export interface HttpTransportOptions {
  /** A connection without a byte for so long is given up. Default 60 s. */
  readonly idleMs?: number;
  /** Connections to one host at a time. Default 8. */
  readonly connectionsMax?: number;
}

/**
 * HTTP/1.1 with kept connections. It follows no redirect and decodes nothing: digests are of the bytes as they come. (The built-in fetch would
 * decode by itself, and cannot be told to accept one host's certificate.)
 */
export class HttpTransport implements Disposable {
  readonly #idleMs: number;
  readonly #http: Agent;
  readonly #agent: { readonly keepAlive: true; readonly maxSockets: number };
  #https: HttpsAgent | undefined;
  readonly #insecure: HttpsAgent;

  constructor(options: HttpTransportOptions = {}) {
    this.#idleMs = options.idleMs ?? 60_000;
    this.#agent = { keepAlive: true, maxSockets: options.connectionsMax ?? 8 };
    this.#http = new Agent(this.#agent);
    this.#insecure = new HttpsAgent({ ...this.#agent, rejectUnauthorized: false });
  }

  /** Trusts what Node brings and what the machine's administrator added. Made when it is needed: reading certificates takes its time. */
  get #verifying(): HttpsAgent {
    this.#https ??= new HttpsAgent({
      ...this.#agent,
      ca: [...getCACertificates("default"), ...getCACertificates("system")],
    });
    return this.#https;
  }

  [Symbol.dispose](): void {
    for (const agent of [this.#http, this.#https, this.#insecure]) agent?.destroy();
  }

  /** @throws RegistryError `unreachable` with the cause, or the signal's reason */
  request(request: HttpRequest): Promise<HttpResponse> {
    const { method, url, headers, body, verifyTls, signal } = request;
    signal?.throwIfAborted();
    const isTls = url.protocol === "https:";
    const options = {
      method,
      headers: { "user-agent": "keelson", "accept-encoding": "identity", ...headers },
      ...(signal === undefined ? {} : { signal }),
    };
    return new Promise((resolve, reject) => {
      const sent = isTls
        ? httpsRequest(url, { ...options, agent: verifyTls ? this.#verifying : this.#insecure })
        : httpRequest(url, { ...options, agent: this.#http });
      sent.once("response", (message) => {
        // An error before anybody reads would end the process.
        message.on("error", () => {});
        const chunks = () => paced(message, this.#idleMs);
        resolve({ status: message.statusCode ?? 0, headers: message.headers, body: message, url, chunks });
      });
      sent.setTimeout(this.#idleMs, () => sent.destroy(new Error(`nothing came for ${this.#idleMs} ms`)));
      sent.once("error", (cause) => {
        if (signal?.aborted === true) reject(signal.reason);
        else reject(new RegistryError("unreachable", `${method} ${url.origin} failed`, { cause }));
      });
      sent.end(body);
    });
  }
}

const TRICKLE_BYTES = 16 * 1024;

/** A server that sends a byte now and then would otherwise hold a pull for ever. */
async function* paced(body: IncomingMessage, windowMs: number): AsyncGenerator<Uint8Array> {
  const iterator = (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  let waitedMs = 0;
  let bytes = 0;
  try {
    for (;;) {
      const started = performance.now();
      const next = await iterator.next();
      // Only the server's time counts, not that of our own disk.
      waitedMs += performance.now() - started;
      if (next.done === true) return;
      yield next.value;
      bytes += next.value.length;
      if (waitedMs < windowMs) continue;
      if (bytes < TRICKLE_BYTES) throw new Error(`only ${bytes} bytes came in ${Math.round(waitedMs)} ms`);
      waitedMs = bytes = 0;
    }
  } finally {
    await iterator.return?.();
  }
}

/** Reads a whole body. @throws RegistryError `too-large` beyond `bytesMax`, `unreachable` when the connection breaks */
export async function readBody(response: HttpResponse, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of response.chunks()) {
      size += chunk.length;
      if (size > bytesMax) break;
      chunks.push(chunk);
    }
  } catch (cause) {
    throw new RegistryError("unreachable", `the answer of ${response.url.origin} broke off`, { cause });
  }
  if (size > bytesMax) {
    throw new RegistryError("too-large", `${response.url.origin} sent more than ${bytesMax} bytes`);
  }
  const stated = response.headers["content-length"];
  if (stated !== undefined && Number(stated) !== size) {
    throw new RegistryError(
      "unreachable",
      `the answer of ${response.url.origin} broke off after ${size} of ${stated} bytes`,
    );
  }
  return Buffer.concat(chunks);
}

/** Drops a body. A short one is read, so that the connection can be used again. */
export function discard(response: HttpResponse): void {
  const length = Number(response.headers["content-length"] ?? Number.NaN);
  if (length <= 64 * 1024) response.body.resume();
  else response.body.destroy();
}
