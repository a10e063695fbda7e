import { type Challenge, parseJson, Reader } from "@keelson/oci";
import type { Credentials } from "./credentials.ts";
import { RegistryError } from "./errors.ts";
import { discard, type HttpTransport, readBody } from "./http.ts";

/** A token and how long it may be used. */
export interface Token {
  readonly header: string;
  /** Milliseconds from now. */
  readonly lifetimeMs: number;
}

/** What a token is asked for. */
export interface TokenRequest {
  readonly challenge: Challenge;
  /** When the challenge names none. */
  readonly defaultScope: string;
  readonly credentials: Credentials | undefined;
  /** The registry's origin: its token server must be reached no less safely. */
  readonly origin: string;
  readonly verifyTls: boolean;
  readonly signal: AbortSignal | undefined;
}

const TOKEN_BYTES_MAX = 256 * 1024;
const LIFETIME_DEFAULT_S = 60;
const CLIENT_ID = "keelson";

/** The `Authorization` of a name and a password. */
export function basicHeader(credentials: Credentials & { kind: "basic" }): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
}

/**
 * Gets a token from the server that a Bearer challenge names: anonymously, with name and password, or for an identity token.
 * distribution docs/spec/auth/{token,oauth}.md
 *
 * @throws RegistryError
 */
export async function fetchToken(transport: HttpTransport, request: TokenRequest): Promise<Token> {
  const { challenge, credentials, signal } = request;
  const realm = realmUrl(request);
  const scope = challenge.parameters["scope"] ?? request.defaultScope;
  const service = challenge.parameters["service"];
  const query = new URLSearchParams({ scope });
  if (service !== undefined) query.set("service", service);
  const common = { signal, verifyTls: request.verifyTls };
  let response: Awaited<ReturnType<HttpTransport["request"]>>;
  if (credentials?.kind === "identity") {
    query.set("grant_type", "refresh_token");
    query.set("refresh_token", credentials.token);
    query.set("client_id", CLIENT_ID);
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    response = await transport.request({ method: "POST", url: realm, headers, body: query.toString(), ...common });
  } else {
    const url = new URL(realm);
    for (const [key, value] of query) url.searchParams.append(key, value);
    const headers = credentials === undefined ? {} : { authorization: basicHeader(credentials) };
    response = await transport.request({ method: "GET", url, headers, ...common });
  }
  if (response.status !== 200) {
    discard(response);
    throw refusal(response.status, realm, credentials !== undefined);
  }
  return readToken(await readBody(response, TOKEN_BYTES_MAX), realm);
}

function realmUrl(request: TokenRequest): URL {
  const realm = request.challenge.parameters["realm"] ?? "";
  const url = URL.parse(realm);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw new RegistryError("protocol", `${request.origin} names a token server that is no URL`);
  }
  // Otherwise a registry could make us send the password in the clear.
  if (url.protocol === "http:" && request.origin.startsWith("https:")) {
    throw new RegistryError(
      "protocol",
      `${request.origin} names the token server ${url.origin}, which is not encrypted`,
    );
  }
  url.username = "";
  url.password = "";
  return url;
}

function refusal(status: number, realm: URL, hasCredentials: boolean): RegistryError {
  const with_ = hasCredentials ? "with the credentials that are configured" : "without credentials";
  if (status === 401 || status === 403) {
    return new RegistryError("unauthorized", `the token server ${realm.origin} refuses (${status}) ${with_}`);
  }
  const problem = status === 429 ? "rate-limited" : status >= 500 ? "server-error" : "protocol";
  return new RegistryError(problem, `the token server ${realm.origin} answered ${status}`);
}

function readToken(bytes: Uint8Array, realm: URL): Token {
  try {
    const reader = new Reader("token", parseJson(Buffer.from(bytes).toString("utf8"), "token"));
    const token = reader.field("token").optionalString(65_536) ?? reader.field("access_token").string(65_536);
    if (!/^[\x21-\x7e]+$/.test(token)) throw reader.fail("is not a header's text");
    const stated = reader.field("expires_in");
    const seconds = stated.isPresent ? stated.integer() : LIFETIME_DEFAULT_S;
    // Ten seconds early, since the request takes its time; an hour at most, whatever the server dreams of.
    const lifetimeMs = Math.min(Math.max(seconds, LIFETIME_DEFAULT_S) - 10, 3_600) * 1_000;
    return { header: `Bearer ${token}`, lifetimeMs };
  } catch (cause) {
    throw new RegistryError("protocol", `the token server ${realm.origin} gave no usable token`, { cause });
  }
}
