import fc from "fast-check";
import { expect, it } from "vitest";
import { failsOnlyWith } from "../testing/fails-only-with.ts";
import { FormatError } from "./errors.ts";
import {
  ATTEMPT_STEPS,
  addDenial,
  addHistory,
  EMPTY_MEMORY,
  encodeMemory,
  type Memory,
  parseMemory,
} from "./memory.ts";

const target = fc.record({
  version: fc.constantFrom("1.0.0", "2.0.0+x", "3_~-"),
  commit: fc.integer({ min: 0, max: 15 }).map((n) => n.toString(16).repeat(64)),
});
const time = fc.nat();
const reason = fc.string({ maxLength: 50 });
const memory: fc.Arbitrary<Memory> = fc.record(
  {
    schema: fc.constant(1 as const),
    denied: fc.array(
      fc.record({ version: fc.constant("2"), commit: fc.constant("a".repeat(64)), reason, machine: reason, at: time }),
      { maxLength: 3 },
    ),
    history: fc.array(
      fc.record(
        {
          at: time,
          what: fc.constantFrom("updated", "rolled-back", "abandoned", "reverted"),
          from: target,
          to: target,
          seconds: time,
          reason,
        },
        { requiredKeys: ["at", "what", "from", "to", "seconds"] },
      ),
      { maxLength: 3 },
    ),
    attempt: fc.record(
      {
        kind: fc.constantFrom("update", "rollback"),
        target,
        from: target,
        deployment: reason,
        step: fc.constantFrom(...ATTEMPT_STEPS),
        bootId: fc.string({ maxLength: 36 }),
        startedAt: time,
        reboots: fc.nat(9),
        reason,
      },
      { requiredKeys: ["kind", "target", "from", "deployment", "step", "bootId", "startedAt", "reboots"] },
    ),
  },
  { requiredKeys: ["schema", "denied", "history"] },
);

it("round-trips", () => {
  fc.assert(
    fc.property(memory, (m) => {
      expect(parseMemory(encodeMemory(m))).toEqual(m);
    }),
  );
});

it("a text that was cut off or changed is refused or read, never half", () => {
  fc.assert(
    fc.property(memory, fc.nat(), fc.string(), (m, at, put) => {
      const text = encodeMemory(m);
      const cut = at % text.length;
      for (const damaged of [text.slice(0, cut), text.slice(0, cut) + put + text.slice(cut + put.length)]) {
        failsOnlyWith(FormatError, () => expect(parseMemory(damaged).schema).toBe(1));
      }
    }),
  );
});

it("says what is wrong", () => {
  expect(() => parseMemory('{"schema":2}')).toThrow("schema is 2; this version knows 1");
  expect(() => parseMemory('{"schema":1,"denied":[{}],"history":[]}')).toThrow("denied[0].version is not a text");
});

it("grows within bounds, and long reasons are cut", () => {
  let m: Memory = EMPTY_MEMORY;
  for (let i = 0; i < 300; i++) {
    const version = `${i}`;
    m = addDenial(m, { version, commit: "b".repeat(64), reason: "x".repeat(9_999), machine: "m", at: i });
    m = addHistory(m, {
      at: i,
      what: "updated",
      from: { version, commit: "" },
      to: { version, commit: "" },
      seconds: 1,
    });
  }
  expect([m.denied.length, m.history.length]).toEqual([200, 50]);
  expect(m.denied.at(-1)).toMatchObject({ version: "299" });
  expect(m.denied.at(-1)?.reason).toHaveLength(2_000);
  expect(addDenial(m, { version: "299", commit: "b".repeat(64), reason: "y", machine: "m", at: 1 })).toBe(m);
});
