import { ERRORS, EtcdError, type EtcdErrorCode } from "./core/errors.ts";

/** What only the leader can answer. Ids are decimal. */
export type PeerRequest =
  | { readonly op: "lease-renew"; readonly id: string }
  | { readonly op: "lease-ttl"; readonly id: string; readonly keys: boolean }
  | { readonly op: "promote"; readonly id: string };

export type PeerReply =
  | { readonly ok: true; readonly ttl?: number; readonly grantedTtl?: number; readonly keys?: readonly string[] }
  | { readonly ok: false; readonly code: string };

/** Small, rare and internal: JSON. */
export function encodePeerJson(value: PeerRequest | PeerReply): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** @throws SyntaxError for what is no JSON */
export function decodePeerRequest(bytes: Uint8Array): PeerRequest {
  return JSON.parse(new TextDecoder().decode(bytes)) as PeerRequest;
}

/** The reply of a leader; its refusals are thrown. @throws EtcdError */
export function decodePeerReply(bytes: Uint8Array): Extract<PeerReply, { ok: true }> {
  const reply = JSON.parse(new TextDecoder().decode(bytes)) as PeerReply;
  if (reply.ok) return reply;
  throw new EtcdError(reply.code in ERRORS ? (reply.code as EtcdErrorCode) : "ERR_UNSUPPORTED");
}
