import { EtcdClient } from "@keelson/etcd-client";
import { it } from "vitest";
import { describeFleetStore } from "../src/store/contract.ts";
import { EtcdFleetStore } from "../src/store/etcd-store.ts";
import { etcds } from "./etcds.ts";

for (const { name, start, missing } of etcds()) {
  if (missing !== undefined) {
    it.skip(`EtcdFleetStore on ${name}: ${missing}`);
    continue;
  }
  describeFleetStore(`EtcdFleetStore on ${name}`, 2_000, async () => {
    const etcd = await start();
    const clients: EtcdFleetStore[] = [];
    const admin = new EtcdClient({ endpoints: [etcd.endpoint] });
    return {
      client() {
        const store = new EtcdFleetStore(new EtcdClient({ endpoints: [etcd.endpoint] }));
        clients.push(store);
        return store;
      },
      async compact() {
        const { revision } = await admin.range("/t/");
        await admin.compact(revision);
      },
      async [Symbol.asyncDispose]() {
        for (const client of clients) await client[Symbol.asyncDispose]();
        admin.close();
        await etcd[Symbol.asyncDispose]();
      },
    };
  });
}
