import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { membershippb } from "@keelson/proto";
import { DataDirError } from "./errors.ts";
import type { LeaseRecord } from "./lessor.ts";
import type { MemberInfo } from "./membership.ts";

/** A position in the log. */
export interface LogPosition {
  readonly index: number;
  readonly term: number;
}

/** Two numbers, 16 bytes. */
export function encodePosition({ index, term }: LogPosition): Uint8Array {
  return pair(index, term);
}

/** @throws DataDirError naming `what` */
export function decodePosition(bytes: Uint8Array, what: string): LogPosition {
  const [index, term] = unpair(bytes, what);
  return { index, term };
}

export function encodeLease(lease: LeaseRecord): Uint8Array {
  return pair(lease.ttlS, lease.remainingS);
}

export function decodeLease(id: bigint, bytes: Uint8Array): LeaseRecord {
  const [ttlS, remainingS] = unpair(bytes, `lease ${id.toString(16)}`);
  return { id, ttlS, remainingS };
}

export function encodeMember(m: MemberInfo): Uint8Array {
  return toBinary(
    membershippb.MemberSchema,
    create(membershippb.MemberSchema, {
      ID: m.id,
      raftAttributes: { peerUrls: [...m.peerUrls], isLearner: m.isLearner },
      memberAttributes: { name: m.name, clientUrls: [...m.clientUrls] },
    }),
  );
}

/** @throws DataDirError when the bytes are no member record */
export function decodeMember(bytes: Uint8Array): MemberInfo {
  try {
    const m = fromBinary(membershippb.MemberSchema, bytes);
    return {
      id: m.ID,
      name: m.memberAttributes?.name ?? "",
      clientUrls: m.memberAttributes?.clientUrls ?? [],
      peerUrls: m.raftAttributes?.peerUrls ?? [],
      isLearner: m.raftAttributes?.isLearner ?? false,
    };
  } catch (cause) {
    throw new DataDirError("a member record cannot be decoded", { bytes: bytes.length }, { cause });
  }
}

function pair(a: number, b: number): Uint8Array {
  const out = new Uint8Array(16);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(a));
  view.setBigUint64(8, BigInt(b));
  return out;
}

function unpair(bytes: Uint8Array, what: string): readonly [number, number] {
  if (bytes.length !== 16) {
    throw new DataDirError(`the record of ${what} is ${bytes.length} bytes long instead of 16`, { what });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  return [Number(view.getBigUint64(0)), Number(view.getBigUint64(8))];
}
