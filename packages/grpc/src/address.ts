import type { AddressInfo, Server } from "node:net";
import { CoreError } from "@keelson/types";

/** The listen address is not one of `http://host:port`, `https://host:port`, `unix:///path`. */
export class ListenAddressError extends CoreError<"ERR_LISTEN_ADDRESS"> {
  readonly code = "ERR_LISTEN_ADDRESS";
}

/** The address cannot be listened on; `cause` says why. */
export class ListenError extends CoreError<"ERR_LISTEN"> {
  readonly code = "ERR_LISTEN";
}

export type ListenAddress =
  | { readonly kind: "tcp"; readonly tls: boolean; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly tls: boolean; readonly path: string };

/** Parses a listen URL. @throws {ListenAddressError} */
export function parseListenUrl(url: string): ListenAddress {
  const unix = /^(unix|unixs):\/\/(.+)$/.exec(url);
  if (unix !== null) return { kind: "unix", tls: unix[1] === "unixs", path: unix[2] ?? "" };
  const tcp = /^(https?):\/\/(\[[0-9a-fA-F:.]+\]|[^:/[\]]+):(\d{1,5})\/?$/.exec(url);
  const port = Number(tcp?.[3]);
  if (tcp === null || port > 65_535) {
    throw new ListenAddressError(
      `cannot listen on ${JSON.stringify(url)}: expected http://HOST:PORT, https://HOST:PORT or unix:///PATH`,
      { url },
    );
  }
  return { kind: "tcp", tls: tcp[1] === "https", host: (tcp[2] ?? "").replace(/^\[|\]$/g, ""), port };
}

/** Starts listening and returns the URL with the real port. @throws {ListenError} */
export function listenOn(server: Server, address: ListenAddress, url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const failed = (cause: Error) => reject(new ListenError(`failed to listen on ${url}`, { url }, { cause }));
    server.once("error", failed);
    server.listen(address.kind === "unix" ? { path: address.path } : { host: address.host, port: address.port }, () => {
      server.off("error", failed);
      if (address.kind === "unix") return resolve(url);
      const { port } = server.address() as AddressInfo;
      const host = address.host.includes(":") ? `[${address.host}]` : address.host;
      resolve(`${address.tls ? "https" : "http"}://${host}:${port}`);
    });
  });
}
