import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { type ChannelCredentials, credentials } from "@grpc/grpc-js";

/** PEM contents. */
export interface ChannelTls {
  readonly ca?: string | Uint8Array;
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  /** The name that the server's certificate must carry, when it is not the target's. */
  readonly serverName?: string;
  /** Encrypts without knowing to whom. For tests and emergencies. */
  readonly insecureSkipVerify?: boolean;
}

/** grpc-js credentials; `ip` is the target when it is an address, which the certificate must then name. */
export function toCredentials(tls: ChannelTls | undefined, ip: string | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const verify =
    tls.insecureSkipVerify === true
      ? { checkServerIdentity: () => undefined, rejectUnauthorized: false }
      : ip === undefined
        ? {}
        : { checkServerIdentity: (_name: string, cert: PeerCertificate) => checkServerIdentity(ip, cert) };
  return credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert), verify);
}

/** The address of a target that names no host but an IP. */
export function ipOf(target: string): string | undefined {
  const host = /^(?:dns:\/*)?\[?([^\]]+?)\]?:\d+$/.exec(target)?.[1] ?? "";
  return isIP(host) === 0 ? undefined : host;
}

function pem(value: string | Uint8Array | undefined): Buffer | null {
  return value === undefined ? null : Buffer.from(value);
}
