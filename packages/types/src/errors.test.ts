import { expect, it } from "vitest";
import { AssertionError, assert, CoreError, formatErrorChain } from "./errors.ts";

class OpenError extends CoreError<"ERR_OPEN"> {
  readonly code = "ERR_OPEN";
}

it("prints the chain of causes once each", () => {
  const error = new OpenError("failed to open /x", { path: "/x" }, { cause: new Error("EACCES: permission denied") });
  expect(formatErrorChain(error)).toBe("failed to open /x: EACCES: permission denied");
  expect(error.code).toBe("ERR_OPEN");
  expect(error.name).toBe("OpenError");
});

it("ends the operation when an invariant does not hold", () => {
  expect(() => assert(false, "match < next", { match: 2 })).toThrow(AssertionError);
  expect(() => assert(true, "fine")).not.toThrow();
});
