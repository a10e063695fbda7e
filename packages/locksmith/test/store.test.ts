import { EtcdClient } from "@keelson/etcd-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EtcdLockStore, Semaphore } from "../src/index.ts";
import { describeLockStore } from "../src/store/contract.ts";
import { ETCDS, type TestEtcd } from "./etcds.ts";

for (const { name, start, missing } of ETCDS) {
  describe.skipIf(missing !== undefined)(name, () => {
    let etcd: TestEtcd;
    let client: EtcdClient;
    beforeAll(async () => {
      etcd = await start();
      client = new EtcdClient({ endpoints: etcd.endpoints });
    });
    afterAll(async () => {
      client.close();
      await etcd[Symbol.asyncDispose]();
    });

    describeLockStore(`EtcdLockStore on ${name}`, 2, async () => {
      await client.delete({ prefix: "" });
      return { store: new EtcdLockStore(client), async [Symbol.asyncDispose]() {} };
    });

    it("ten machines take turns, each of several rounds, and no two at a time", async () => {
      await client.delete({ prefix: "" });
      let inside = 0;
      const order: string[] = [];
      const machine = async (id: string) => {
        await using own = new EtcdClient({ endpoints: etcd.endpoints });
        const semaphore = new Semaphore({ store: new EtcdLockStore(own), holdTtlMs: 60_000, waiterTtlMs: 10_000 });
        for (let round = 0; round < 3; round++) {
          const hold = await semaphore.lock(id, { wait: true });
          expect(++inside).toBe(1);
          order.push(id);
          expect(await hold.confirm()).toBe(true);
          inside--;
          await hold.release();
        }
      };
      await Promise.all(Array.from({ length: 10 }, (_, i) => machine(`m${i}`)));
      expect(order).toHaveLength(30);
      const { kvs } = await client.range({ prefix: "" });
      expect(kvs.map(({ keyText, text }) => [keyText, text])).toEqual([
        ["coreos.com/updateengine/rebootlock/semaphore", '{"semaphore":1,"max":1,"holders":null}'],
      ]);
      expect(await client.lease.list()).toEqual([]);
    });

    it("the slot of a holder that is gone comes back when its lease ends", async () => {
      await client.delete({ prefix: "" });
      const gone = new EtcdClient({ endpoints: etcd.endpoints });
      const options = { holdTtlMs: 2_000, waiterTtlMs: 2_000 };
      await new Semaphore({ store: new EtcdLockStore(gone), ...options }).lock("dead");
      gone.close();
      const hold = await new Semaphore({ store: new EtcdLockStore(client), ...options }).lock("m1", { wait: true });
      expect(hold.isHeld).toBe(true);
      await hold.release();
    });
  });
}
