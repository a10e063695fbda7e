import { setTimeout as sleep } from "node:timers/promises";
import { type Challenge, parseChallenges, parseRetryAfter } from "@keelson/oci";
import type { CredentialStore, Credentials } from "./credentials.ts";
import { RegistryError } from "./errors.ts";
import { discard, type HttpResponse, type HttpTransport } from "./http.ts";
import type { Endpoint } from "./mirrors.ts";
import { basicHeader, fetchToken } from "./token.ts";

/** How often and how long is waited. */
export interface RetryPolicy {
  /** Tries after the first. Default 4. */
  readonly retries?: number;
  /** First pause; it doubles. Default 500 ms. */
  readonly delayMs?: number;
  /** Longest pause, and the longest that a server may ask for. Default 60 s. */
  readonly delayMaxMs?: number;
}

/** A request below `/v2/<repository>/`. */
export interface RegistryRequest {
  readonly endpoint: Endpoint;
  /** `manifests/latest` */
  readonly path: string;
  readonly method?: "GET" | "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

interface Authorization {
  readonly header: string;
  readonly expiresMs: number;
}

const REDIRECTS_MAX = 5;
const AUTHORIZATIONS_MAX = 1_000;
/** A pull needs one round for a stale token and one for another scope; a registry that asks for more is not to be satisfied. */
const CHALLENGES_MAX = 2;

/** Talks to registries: authorization, redirects and retries of all requests are here. */
export class RegistrySession {
  readonly #transport: HttpTransport;
  readonly #credentials: CredentialStore;
  readonly #retry: Required<RetryPolicy>;
  readonly #authorizations = new Map<string, Authorization>();
  readonly #pending = new Map<string, Promise<Authorization>>();

  constructor(transport: HttpTransport, credentials: CredentialStore, retry: RetryPolicy = {}) {
    this.#transport = transport;
    this.#credentials = credentials;
    this.#retry = { retries: 4, delayMs: 500, delayMaxMs: 60_000, ...retry };
  }

  get retries(): number {
    return this.#retry.retries;
  }

  /** Waits before try number `attempt` (from 1). */
  async pause(attempt: number, askedMs: number | undefined, signal: AbortSignal | undefined): Promise<void> {
    const { delayMs, delayMaxMs } = this.#retry;
    const backOff = Math.min(delayMs * 2 ** (attempt - 1), delayMaxMs);
    // Machines of a cluster that failed together must not come back together.
    await sleep(
      askedMs ?? backOff * (0.5 + Math.random() / 2),
      undefined,
      signal === undefined ? {} : { signal },
    ).catch(() => {});
    signal?.throwIfAborted();
  }

  /**
   * An answer of 200 or 206.
   *
   * @throws RegistryError after the retries; at once for what another try will not change
   */
  async request(request: RegistryRequest): Promise<HttpResponse> {
    for (let attempt = 1; ; attempt++) {
      const failure = await this.#attempt(request);
      if (!("error" in failure)) return failure;
      const { error, askedMs } = failure;
      if (attempt > this.#retry.retries || !isTransient(error)) throw error;
      if (askedMs !== undefined && askedMs > this.#retry.delayMaxMs) {
        const seconds = Math.ceil(askedMs / 1_000);
        throw new RegistryError(
          "rate-limited",
          `${request.endpoint.origin} asks to come back in ${seconds} s; try later`,
        );
      }
      await this.pause(attempt, askedMs, request.signal);
    }
  }

  async #attempt(
    request: RegistryRequest,
  ): Promise<HttpResponse | { error: RegistryError; askedMs: number | undefined }> {
    try {
      const response = await this.#authorized(request);
      if (response.status === 200 || response.status === 206) return response;
      const asked = response.headers["retry-after"];
      discard(response);
      return {
        error: statusError(request, response.status),
        askedMs: asked === undefined ? undefined : parseRetryAfter(asked, Date.now()),
      };
    } catch (error) {
      if (error instanceof RegistryError) return { error, askedMs: undefined };
      throw error;
    }
  }

  async #authorized(request: RegistryRequest): Promise<HttpResponse> {
    const key = `${request.endpoint.origin} ${request.endpoint.repository}`;
    let authorization = this.#authorizations.get(key);
    if (authorization !== undefined && authorization.expiresMs <= performance.now()) authorization = undefined;
    for (let challenges = 0; ; challenges++) {
      const response = await this.#followed(request, authorization?.header);
      if (response.status !== 401) return response;
      discard(response);
      if (challenges === CHALLENGES_MAX) {
        const { origin, repository } = request.endpoint;
        throw new RegistryError(
          "unauthorized",
          `${origin} keeps asking for authorization for ${repository}, whatever it is given`,
        );
      }
      if (authorization !== undefined && this.#authorizations.get(key) === authorization)
        this.#authorizations.delete(key);
      authorization = await this.#authorize(key, request, parseChallenges(response.headers["www-authenticate"] ?? ""));
    }
  }

  /** Requests of one repository share one token: layers are asked for together. */
  async #authorize(key: string, request: RegistryRequest, challenges: readonly Challenge[]): Promise<Authorization> {
    const current = this.#authorizations.get(key) ?? (await this.#pending.get(key)?.catch(() => undefined));
    if (current !== undefined) return current;
    request.signal?.throwIfAborted();
    const pending = this.#answer(request, challenges);
    this.#pending.set(key, pending);
    try {
      const authorization = await pending;
      if (this.#authorizations.size >= AUTHORIZATIONS_MAX) this.#authorizations.clear();
      this.#authorizations.set(key, authorization);
      return authorization;
    } finally {
      if (this.#pending.get(key) === pending) this.#pending.delete(key);
    }
  }

  async #answer(request: RegistryRequest, challenges: readonly Challenge[]): Promise<Authorization> {
    const { endpoint, signal } = request;
    const credentials = this.#credentials.find(endpoint.credentialHost, endpoint.repository);
    const bearer = challenges.find((c) => c.scheme === "bearer" && c.parameters["realm"] !== undefined);
    if (bearer !== undefined) {
      const token = await fetchToken(this.#transport, {
        challenge: bearer,
        defaultScope: `repository:${endpoint.repository}:pull`,
        credentials,
        origin: endpoint.origin,
        verifyTls: endpoint.verifyTls,
        signal,
      });
      return { header: token.header, expiresMs: performance.now() + token.lifetimeMs };
    }
    if (challenges.some((c) => c.scheme === "basic") && credentials?.kind === "basic") {
      return { header: basicHeader(credentials), expiresMs: Number.POSITIVE_INFINITY };
    }
    throw new RegistryError("unauthorized", unauthorizedText(endpoint, credentials, challenges));
  }

  async #followed(request: RegistryRequest, authorization: string | undefined): Promise<HttpResponse> {
    const { endpoint, method = "GET", signal } = request;
    let url = new URL(`${endpoint.origin}/v2/${endpoint.repository}/${request.path}`);
    for (let redirects = 0; ; redirects++) {
      // What proves who we are goes to the registry itself and to nobody it points to.
      const isOwn = url.origin === endpoint.origin;
      const headers = { ...request.headers, ...(isOwn && authorization !== undefined ? { authorization } : {}) };
      const verifyTls = endpoint.verifyTls || !isOwn;
      const response = await this.#transport.request({ method, url, headers, verifyTls, signal });
      if (![301, 302, 303, 307, 308].includes(response.status)) return checkForeign(response, isOwn);
      discard(response);
      if (redirects === REDIRECTS_MAX) throw new RegistryError("redirect", `${endpoint.origin} redirects without end`);
      url = redirectTarget(response, url);
    }
  }
}

/** A host that was redirected to must not make us log in. */
function checkForeign(response: HttpResponse, isOwn: boolean): HttpResponse {
  if (response.status !== 401 || isOwn) return response;
  discard(response);
  throw new RegistryError(
    "redirect",
    `${response.url.origin}, where the registry redirects to, asks for credentials: it gets none`,
  );
}

function redirectTarget(response: HttpResponse, from: URL): URL {
  const target = URL.parse(response.headers.location ?? "", from);
  if (target === null || (target.protocol !== "https:" && target.protocol !== "http:")) {
    throw new RegistryError("redirect", `${from.origin} redirects to what is no URL`);
  }
  if (from.protocol === "https:" && target.protocol === "http:") {
    throw new RegistryError("redirect", `${from.origin} redirects to ${target.origin}, which is not encrypted`);
  }
  target.username = "";
  target.password = "";
  target.hash = "";
  return target;
}

function isTransient(error: RegistryError): boolean {
  return error.problem === "unreachable" || error.problem === "rate-limited" || error.problem === "server-error";
}

function statusError(request: RegistryRequest, status: number): RegistryError {
  const what = `${request.endpoint.origin}: ${request.endpoint.repository}/${request.path}`;
  if (status === 404) return new RegistryError("not-found", `${what} is not there`);
  if (status === 403) return new RegistryError("unauthorized", `${what} is forbidden`);
  if (status === 429)
    return new RegistryError("rate-limited", `${request.endpoint.origin} refuses for now: too many requests`);
  if (status >= 500) return new RegistryError("server-error", `${what}: the registry failed (${status})`);
  return new RegistryError("protocol", `${what}: unexpected answer ${status}`);
}

function unauthorizedText(
  endpoint: Endpoint,
  credentials: Credentials | undefined,
  challenges: readonly Challenge[],
): string {
  const schemes = challenges.map((c) => c.scheme).join(", ");
  if (challenges.length === 0) return `${endpoint.origin} answers 401 and does not say what it wants`;
  if (credentials === undefined) {
    return `${endpoint.origin} wants a login (${schemes}); put one for ${endpoint.credentialHost} into /etc/containers/auth.json`;
  }
  return `${endpoint.origin} wants ${schemes}, which the configured credentials do not fit`;
}
