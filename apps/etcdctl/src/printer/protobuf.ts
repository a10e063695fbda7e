import { type DescMessage, type Message, toBinary } from "@bufbuild/protobuf";
import {
  AlarmResponseSchema,
  DeleteRangeResponseSchema,
  LeaseGrantResponseSchema,
  LeaseKeepAliveResponseSchema,
  LeaseLeasesResponseSchema,
  LeaseRevokeResponseSchema,
  LeaseTimeToLiveResponseSchema,
  MemberAddResponseSchema,
  MemberListResponseSchema,
  MemberPromoteResponseSchema,
  MemberRemoveResponseSchema,
  MemberUpdateResponseSchema,
  MoveLeaderResponseSchema,
  PutResponseSchema,
  RangeResponseSchema,
  TxnResponseSchema,
  WatchResponseSchema,
} from "@keelson/proto";
import type { Printer } from "./printer.ts";
import { unsupported } from "./unsupported.ts";

/** The responses' own bytes. */
export function protobufPrinter(): Printer {
  const of = (desc: DescMessage) => (message: Message) => toBinary(desc, message);
  const second = (desc: DescMessage) => (_id: bigint, message: Message) => toBinary(desc, message);
  return {
    ...unsupported("protobuf"),
    get: of(RangeResponseSchema),
    put: of(PutResponseSchema),
    del: of(DeleteRangeResponseSchema),
    txn: of(TxnResponseSchema),
    watch: of(WatchResponseSchema),
    grant: of(LeaseGrantResponseSchema),
    revoke: second(LeaseRevokeResponseSchema),
    keepAlive: of(LeaseKeepAliveResponseSchema),
    timeToLive: of(LeaseTimeToLiveResponseSchema),
    leases: of(LeaseLeasesResponseSchema),
    memberAdd: of(MemberAddResponseSchema),
    memberRemove: second(MemberRemoveResponseSchema),
    memberUpdate: second(MemberUpdateResponseSchema),
    memberPromote: second(MemberPromoteResponseSchema),
    memberList: of(MemberListResponseSchema),
    moveLeader: (_leader, _target, r) => toBinary(MoveLeaderResponseSchema, r),
    alarm: of(AlarmResponseSchema),
  };
}
