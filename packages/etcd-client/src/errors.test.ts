import { RpcError, Status } from "@keelson/grpc";
import { expect, it } from "vitest";
import { CompactedError, codeOfText, toEtcdError } from "./errors.ts";

it("knows upstream's errors by their text, since two of them travel as UNKNOWN", () => {
  expect(codeOfText("etcdserver: too many requests")).toBe("ERR_TOO_MANY_REQUESTS");
  expect(codeOfText("too many requests")).toBeUndefined();
  expect(codeOfText("etcdserver: toString")).toBeUndefined();
  expect(
    toEtcdError(new RpcError(Status.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted")),
  ).toBeInstanceOf(CompactedError);
});

it.each([
  ["a broken connection", new RpcError(Status.UNAVAILABLE, "Connection dropped"), true],
  ["a deadline", new RpcError(Status.DEADLINE_EXCEEDED, "Deadline exceeded"), true],
  ["a lost proposal", new RpcError(Status.UNAVAILABLE, "etcdserver: request timed out"), true],
  ["no connection at all", new RpcError(Status.UNAVAILABLE, "No connection established", { notSent: true }), false],
  ["a clear refusal", new RpcError(Status.INVALID_ARGUMENT, "etcdserver: key is not provided"), false],
  ["a refusal that travels as UNKNOWN", new RpcError(Status.UNKNOWN, "etcdserver: too many requests"), false],
])("a write that met %s", (_title, error, unknown) => {
  expect(toEtcdError(error, { write: true }).outcomeUnknown).toBe(unknown);
  expect(toEtcdError(error).outcomeUnknown).toBe(false);
});
