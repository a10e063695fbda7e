import { EtcdError } from "./errors.ts";

/** An endpoint as given, and what gRPC and TLS make of it. */
export interface ParsedEndpoint {
  readonly url: string;
  readonly target: string;
  readonly tls: boolean;
}

/** Parses `http(s)://host:port`, `unix(s):///path` or `host:port`. @throws {EtcdError} ERR_INVALID_ENDPOINT */
export function parseEndpoint(url: string): ParsedEndpoint {
  const unix = /^(unixs?):(?:\/\/)?(\/.+)$/.exec(url);
  if (unix !== null) return { url, target: `unix:${unix[2] ?? ""}`, tls: unix[1] === "unixs" };
  const tcp = /^(?:(https?):\/\/)?((?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5}))\/?$/.exec(url);
  if (tcp === null || Number(tcp[3]) > 65_535) {
    throw new EtcdError(
      "ERR_INVALID_ENDPOINT",
      `invalid etcd endpoint ${JSON.stringify(url)}: expected http://HOST:PORT, https://HOST:PORT, unix:///PATH or HOST:PORT`,
      { details: { url } },
    );
  }
  return { url, target: tcp[2] ?? "", tls: tcp[1] === "https" };
}
