import { SystemClock } from "@keelson/log";
import { describeFleetStore } from "./contract.ts";
import { MemoryEtcd } from "./memory-etcd.ts";
import { MemoryFleetStore } from "./memory-store.ts";

describeFleetStore("MemoryFleetStore", 300, () => {
  const clock = new SystemClock();
  const etcd = new MemoryEtcd(clock);
  const clients: MemoryFleetStore[] = [];
  return Promise.resolve({
    client() {
      const client = new MemoryFleetStore({ etcd, clock });
      clients.push(client);
      return client;
    },
    compact: () => Promise.resolve(etcd.compact()),
    async [Symbol.asyncDispose]() {
      for (const client of clients) await client[Symbol.asyncDispose]();
    },
  });
});
