// etcd's v3 API. Generated messages are plain objects: make one with `create(XSchema, {...})` of @bufbuild/protobuf.
// 64-bit integers are bigint here; the services convert revisions to number where they enter.
export * from "./gen/authpb/auth_pb.ts";
export * from "./gen/etcdserverpb/auth_pb.ts";
export * from "./gen/etcdserverpb/cluster_pb.ts";
export * from "./gen/etcdserverpb/header_pb.ts";
export * from "./gen/etcdserverpb/kv_pb.ts";
export * from "./gen/etcdserverpb/lease_pb.ts";
export * from "./gen/etcdserverpb/maintenance_pb.ts";
export * from "./gen/etcdserverpb/raft_internal_pb.ts";
export * from "./gen/etcdserverpb/watch_pb.ts";
// Packages whose names would collide with the above.
export * as healthpb from "./gen/grpc/health/v1/health_pb.ts";
export * as membershippb from "./gen/membershippb/membership_pb.ts";
export * from "./gen/mvccpb/kv_pb.ts";
export * as v3electionpb from "./gen/v3electionpb/v3election_pb.ts";
export * as v3lockpb from "./gen/v3lockpb/v3lock_pb.ts";
