// A semaphore without etcd, for tests.
export { MemoryLockServer, MemoryLockStore } from "../store/memory-store.ts";
