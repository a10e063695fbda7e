import type { KeyValue as PbKeyValue } from "@keelson/proto";
import type { LeaseId, Revision } from "@keelson/types";

const decoder = new TextDecoder();

/** A key with its value as a revision left it. Bytes are as received; text is decoded when asked for. */
export class KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  readonly version: number;
  /** 0n without a lease. */
  readonly lease: LeaseId;

  constructor(pb: Omit<PbKeyValue, "$typeName" | "$unknown">) {
    this.key = pb.key;
    this.value = pb.value;
    this.createRevision = Number(pb.createRevision);
    this.modRevision = Number(pb.modRevision);
    this.version = Number(pb.version);
    this.lease = pb.lease;
  }

  /** The key as UTF-8. */
  get keyText(): string {
    return decoder.decode(this.key);
  }

  /** The value as UTF-8. */
  get text(): string {
    return decoder.decode(this.value);
  }
}
