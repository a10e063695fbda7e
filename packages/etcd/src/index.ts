// For everyone who wants an etcd in a process.

export { DEFAULT_CONFIG, type RemoteCluster, type ServerConfig } from "./config.ts";
export { ConfigError, DataDirError, EtcdError, type EtcdErrorCode, MemberFailedError } from "./core/errors.ts";
export { Etcd } from "./etcd.ts";
export { type EtcdOptions, parseInitialCluster } from "./etcd-options.ts";
export { clusterIdOf, memberIdOf } from "./ids.ts";
export type { MemberEvents } from "./member.ts";
export { MemoryStore } from "./memory-store.ts";
// For simulations and other hosts: a member on ports of the caller's.
export { EtcdServer, type EtcdServerOptions } from "./server.ts";
export type { PeerAddress, PeerHandler, PeerTransport } from "./transport/port.ts";
export { CLUSTER_VERSION, SERVER_VERSION } from "./version.ts";
