import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { PutRequestSchema, RangeRequestSchema, TxnRequestSchema } from "@keelson/proto";
import { expect, it } from "vitest";
import { checkPut, checkRange, checkTxn, isReadOnlyTxn, isSerializableTxn } from "./validate.ts";

const b = (text: string) => new TextEncoder().encode(text);
type Ops = NonNullable<MessageInitShape<typeof TxnRequestSchema>["success"]>;
const put = (key: string): Ops[number] => ({ request: { case: "requestPut", value: { key: b(key) } } });
const del = (key: string, rangeEnd = ""): Ops[number] => ({
  request: { case: "requestDeleteRange", value: { key: b(key), rangeEnd: b(rangeEnd) } },
});
const get = (key: string, serializable = false): Ops[number] => ({
  request: { case: "requestRange", value: { key: b(key), serializable } },
});
const nested = (success: Ops, failure: Ops = []): Ops[number] => ({
  request: { case: "requestTxn", value: { success, failure } },
});
const txn = (success: Ops, failure: Ops = []) => create(TxnRequestSchema, { success, failure });
const many = (count: number) => Array.from({ length: count }, (_, i) => put(`k${i}`));

it.each<[string, ReturnType<typeof txn>, string | undefined]>([
  ["nothing at all", txn([]), undefined],
  ["two keys", txn([put("a"), put("b")]), undefined],
  ["a key twice on one branch", txn([put("a"), put("a")]), "ERR_DUPLICATE_KEY"],
  ["a key on both branches", txn([put("a")], [put("a")]), undefined],
  ["a put and a delete of one key", txn([put("a"), del("a")]), "ERR_DUPLICATE_KEY"],
  ["a put and a delete of a range with it", txn([put("b"), del("a", "c")]), "ERR_DUPLICATE_KEY"],
  ["a put and a delete of a range without it", txn([put("c"), del("a", "c")]), undefined],
  ["a put and a delete of everything after", txn([put("z"), del("a", "\0")]), "ERR_DUPLICATE_KEY"],
  ["two deletes of one key", txn([del("a"), del("a")]), undefined],
  ["a put and a nested put of one key", txn([put("a"), nested([put("a")])]), "ERR_DUPLICATE_KEY"],
  ["a put and a nested else of one key", txn([put("a"), nested([], [put("a")])]), "ERR_DUPLICATE_KEY"],
  ["then and else of a nested one", txn([nested([put("a")], [put("a")])]), undefined],
  ["two nested ones with one key", txn([nested([put("a")]), nested([put("a")])]), "ERR_DUPLICATE_KEY"],
  ["a nested delete over a put", txn([put("a"), nested([del("a")])]), "ERR_DUPLICATE_KEY"],
  ["a nested delete over a nested put", txn([nested([put("a")]), nested([del("a")])]), "ERR_DUPLICATE_KEY"],
  ["a put and a delete on the branches of a nested one", txn([nested([put("a")], [del("a")])]), undefined],
  ["128 operations", txn(many(128)), undefined],
  ["129 operations", txn(many(129)), "ERR_TOO_MANY_OPS"],
  ["129 on the other branch", txn([], many(129)), "ERR_TOO_MANY_OPS"],
  ["nested ones share the budget", txn([nested(many(127))]), undefined],
  ["and may not exceed it", txn([nested(many(128))]), "ERR_TOO_MANY_OPS"],
  ["an empty key", txn([put("")]), "ERR_EMPTY_KEY"],
  ["an empty key, nested", txn([nested([get("")])]), "ERR_EMPTY_KEY"],
  ["an empty operation", txn([{ request: { case: undefined } }]), "ERR_KEY_NOT_FOUND"],
])("a txn with %s", (_title, request, code) => {
  expect(codeOf(() => checkTxn(request, 128))).toBe(code);
});

it("a compare without a key", () => {
  expect(codeOf(() => checkTxn(create(TxnRequestSchema, { compare: [{}] }), 128))).toBe("ERR_EMPTY_KEY");
});

it.each<[string, MessageInitShape<typeof PutRequestSchema>, string | undefined]>([
  ["a key", { key: b("a") }, undefined],
  ["no key", {}, "ERR_EMPTY_KEY"],
  ["ignore_value", { key: b("a"), ignoreValue: true }, undefined],
  ["ignore_value and a value", { key: b("a"), ignoreValue: true, value: b("v") }, "ERR_VALUE_PROVIDED"],
  ["ignore_lease and a lease", { key: b("a"), ignoreLease: true, lease: 1n }, "ERR_LEASE_PROVIDED"],
])("a put with %s", (_title, init, code) => {
  expect(codeOf(() => checkPut(create(PutRequestSchema, init)))).toBe(code);
});

it.each<[string, MessageInitShape<typeof RangeRequestSchema>, string | undefined]>([
  ["a key", { key: b("a") }, undefined],
  ["no key", {}, "ERR_EMPTY_KEY"],
  ["an unknown order", { key: b("a"), sortOrder: 3 as never }, "ERR_INVALID_SORT_OPTION"],
  ["an unknown target", { key: b("a"), sortTarget: 5 as never }, "ERR_INVALID_SORT_OPTION"],
])("a range with %s", (_title, init, code) => {
  expect(codeOf(() => checkRange(create(RangeRequestSchema, init)))).toBe(code);
});

it.each<[string, ReturnType<typeof txn>, boolean, boolean]>([
  ["reads", txn([get("a")], [get("b")]), true, false],
  ["serializable reads", txn([get("a", true)], [get("b", true)]), true, true],
  ["a write", txn([get("a"), put("b")]), false, false],
  ["a write on the other branch", txn([get("a")], [del("b")]), false, false],
  // Upstream sends every nested txn through the log, whatever is in it.
  ["a nested read", txn([nested([get("a")])]), false, false],
])("a txn of %s", (_title, request, readOnly, serializable) => {
  expect(isReadOnlyTxn(request)).toBe(readOnly);
  expect(readOnly && isSerializableTxn(request)).toBe(serializable);
});

function codeOf(run: () => void): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return (error as { code: string }).code;
  }
}
