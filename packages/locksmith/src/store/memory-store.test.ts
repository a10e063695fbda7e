import { SystemClock } from "@keelson/log";
import { describeLockStore } from "./contract.ts";
import { MemoryLockServer, MemoryLockStore } from "./memory-store.ts";

describeLockStore("MemoryLockStore", 1, async () => ({
  store: new MemoryLockStore(new MemoryLockServer(new SystemClock())),
  async [Symbol.asyncDispose]() {},
}));
