import { expect, it } from "vitest";
import { compare, op, TxnBuilder } from "./txn.ts";
import type { TxnResult, TxnSpec } from "./types.ts";

function recorder() {
  const specs: TxnSpec[] = [];
  const result: TxnResult = { revision: 1, succeeded: true, results: [] };
  const txn = new TxnBuilder((spec) => {
    specs.push(spec);
    return Promise.resolve(result);
  });
  return { specs, txn };
}

it("collects in order and never changes what was built before", async () => {
  const { specs, txn } = recorder();
  const base = txn.if(compare.missing("a"));
  await base.then(op.put("a", "1")).then(op.get("a")).else(op.delete("a")).commit();
  await base.commit();
  expect(specs[0]).toMatchObject({
    compares: [{ target: "create", operator: "=", operand: 0 }],
    success: [{ type: "put" }, { type: "get" }],
    failure: [{ type: "delete" }],
  });
  expect(specs[1]).toMatchObject({ success: [], failure: [] });
});

it("says so when it is awaited instead of committed", async () => {
  const { txn } = recorder();
  const awaited = (async () => (await (txn as unknown as Promise<unknown>)) as unknown)();
  await expect(awaited).rejects.toThrow("end it with commit()");
});
