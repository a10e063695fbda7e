import type {
  AlarmResponse,
  DeleteRangeResponse,
  HashKVResponse,
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseRevokeResponse,
  LeaseTimeToLiveResponse,
  MemberAddResponse,
  MemberListResponse,
  MemberPromoteResponse,
  MemberRemoveResponse,
  MemberUpdateResponse,
  MoveLeaderResponse,
  PutResponse,
  RangeResponse,
  StatusResponse,
  TxnResponse,
  WatchResponse,
} from "@keelson/proto";

export type OutputFormat = "simple" | "fields" | "json" | "table" | "protobuf";

export interface HealthRow {
  readonly endpoint: string;
  readonly healthy: boolean;
  readonly tookMs: number;
  readonly error: string;
}

export interface StatusRow {
  readonly endpoint: string;
  readonly response: StatusResponse;
}

export interface HashRow {
  readonly endpoint: string;
  readonly response: HashKVResponse;
}

/** Everything etcdctl prints, in one of its formats. Each gives the whole text, as upstream's etcdctl 3.5 prints it. */
export interface Printer {
  get(r: RangeResponse): string | Uint8Array;
  put(r: PutResponse): string | Uint8Array;
  del(r: DeleteRangeResponse): string | Uint8Array;
  txn(r: TxnResponse): string | Uint8Array;
  watch(r: WatchResponse): string | Uint8Array;
  grant(r: LeaseGrantResponse): string | Uint8Array;
  revoke(id: bigint, r: LeaseRevokeResponse): string | Uint8Array;
  keepAlive(r: LeaseKeepAliveResponse): string | Uint8Array;
  timeToLive(r: LeaseTimeToLiveResponse, keys: boolean): string | Uint8Array;
  leases(r: LeaseLeasesResponse): string | Uint8Array;
  memberAdd(r: MemberAddResponse): string | Uint8Array;
  memberRemove(id: bigint, r: MemberRemoveResponse): string | Uint8Array;
  memberUpdate(id: bigint, r: MemberUpdateResponse): string | Uint8Array;
  memberPromote(id: bigint, r: MemberPromoteResponse): string | Uint8Array;
  memberList(r: MemberListResponse): string | Uint8Array;
  health(rows: readonly HealthRow[]): string | Uint8Array;
  status(rows: readonly StatusRow[]): string | Uint8Array;
  hashKv(rows: readonly HashRow[]): string | Uint8Array;
  moveLeader(leader: bigint, target: bigint, r: MoveLeaderResponse): string | Uint8Array;
  alarm(r: AlarmResponse): string | Uint8Array;
}
