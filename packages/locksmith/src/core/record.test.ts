import fc from "fast-check";
import { expect, it } from "vitest";
import { encodeDenial, parseDenial } from "./denial.ts";
import { parseLeaving } from "./quorum.ts";
import { encodeRecord, type HoldRecord, parseRecord } from "./record.ts";

const anything = fc.oneof(fc.string(), fc.json());

it("a record that was written is read", () => {
  const text = fc.option(fc.string({ minLength: 1, maxLength: 100 }), { nil: undefined });
  const record = fc.record({
    sinceMs: fc.nat(),
    machine: text,
    version: text,
    reason: text,
    going: fc.boolean(),
    lease: fc.bigInt(1n, 2n ** 63n),
  });
  fc.assert(
    fc.property(record, ({ sinceMs, machine, version, reason, going, lease }) => {
      const full: HoldRecord = {
        id: "m1",
        sinceMs,
        lease: lease.toString(16),
        ...(machine === undefined ? {} : { machine }),
        ...(version === undefined ? {} : { version }),
        ...(reason === undefined ? {} : { reason }),
        ...(going ? { isGoingDown: true } : {}),
      };
      expect(parseRecord("m1", encodeRecord(full))).toEqual(full);
    }),
  );
});

it("what somebody else wrote is no record, or one within bounds, and stops nobody", () => {
  fc.assert(
    fc.property(anything, (text) => {
      const record = parseRecord("m1", text);
      return record === undefined || (record.id === "m1" && Number.isFinite(record.sinceMs));
    }),
  );
  expect(parseRecord("m1", `{"sinceMs":1,"machine":${JSON.stringify("x".repeat(5_000))},"lease":"no"}`)).toEqual({
    id: "m1",
    sinceMs: 1,
    machine: "x".repeat(1_024),
  });
});

it("a denial is one whatever it says, and what was written is read", () => {
  fc.assert(fc.property(anything, (text) => parseDenial("2", text).version === "2"));
  const denial = { version: "2", reason: "red", by: "alpha", atMs: 7 };
  expect(parseDenial("2", encodeDenial(denial))).toEqual(denial);
});

it("leaving members are read, or refused with a code", () => {
  fc.assert(
    fc.property(anything, (text) => {
      try {
        parseLeaving(text);
        return true;
      } catch (error) {
        return (error as { code?: unknown }).code === "ERR_SEMAPHORE_FORMAT";
      }
    }),
  );
});
