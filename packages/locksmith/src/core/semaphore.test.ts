import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareGo, goJsonString, queryEscape, queryUnescape } from "./go-text.ts";
import {
  checkHolderId,
  encodeSemaphore,
  freeSlots,
  INITIAL_SEMAPHORE,
  lockSlot,
  parseSemaphore,
  type Semaphore,
  setMaxSlots,
  unlockSlot,
} from "./semaphore.ts";

const at = (text: string) => parseSemaphore(text);

describe("upstream's JSON", () => {
  it.each([
    ["nobody", { ...INITIAL_SEMAPHORE }, '{"semaphore":1,"max":1,"holders":null}'],
    ["sorted by bytes", at('{"max":3,"holders":["b","B","a"]}'), '{"semaphore":0,"max":3,"holders":["B","a","b"]}'],
    ["more holders than slots", at('{"max":1,"holders":["a","b"]}'), '{"semaphore":-1,"max":1,"holders":["a","b"]}'],
    [
      "what HTML fears",
      at('{"max":1,"holders":["<&>"]}'),
      '{"semaphore":0,"max":1,"holders":["\\u003c\\u0026\\u003e"]}',
    ],
    ["airlock's", at('{"total_slots":2,"holders":[]}'), '{"total_slots":2,"holders":[]}'],
    [
      "a holder twice, and a wrong count",
      at('{"semaphore":9,"max":2,"holders":["a","a"]}'),
      '{"semaphore":1,"max":2,"holders":["a"]}',
    ],
  ])("%s", (_title, semaphore: Semaphore, text) => {
    expect(encodeSemaphore(semaphore)).toBe(text);
    expect(encodeSemaphore(parseSemaphore(text))).toBe(text);
  });

  it.each([
    "",
    "[]",
    "null",
    "{}",
    '{"max":1.5}',
    '{"max":"1"}',
    '{"max":1,"holders":[1]}',
    '{"max":1,"holders":{}}',
    '{"max":1e99}',
  ])("refuses %j", (text) => expect(() => parseSemaphore(text)).toThrow(/^the semaphore in etcd cannot be read/));

  it("never throws anything else, whatever the text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) =>
        ["fine", "ERR_SEMAPHORE_FORMAT"].includes(outcome(() => parseSemaphore(text))),
      ),
    );
  });
});

function outcome(work: () => unknown): string {
  try {
    work();
    return "fine";
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
}

describe("transitions", () => {
  it("upstream's texts", () => {
    expect(lockSlot(at('{"max":1,"holders":["a"]}'), "b")).toMatchObject({ ok: false, reason: "semaphore is at 0" });
    expect(lockSlot(at('{"max":1,"holders":["a","b"]}'), "c")).toMatchObject({
      ok: false,
      reason: "semaphore is at -1",
    });
    expect(unlockSlot(INITIAL_SEMAPHORE, "a")).toMatchObject({ ok: false, reason: "holder does not exist" });
    expect(lockSlot(at('{"max":1,"holders":["a"]}'), "a")).toMatchObject({ ok: true, isChanged: false });
  });

  it("any sequence keeps the books: slots taken and free make the maximum, holders are sorted and alone", () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("lock" as const), id: fc.constantFrom("a", "b", "c", "\u{1f512}", "\uffee") }),
      fc.record({ do: fc.constant("unlock" as const), id: fc.constantFrom("a", "b", "c", "\u{1f512}", "\uffee") }),
      fc.record({ do: fc.constant("max" as const), max: fc.integer({ min: 0, max: 4 }) }),
    );
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        let semaphore: Semaphore = INITIAL_SEMAPHORE;
        let takenFromNothing = false;
        for (const one of steps) {
          if (one.do === "max") semaphore = setMaxSlots(semaphore, one.max);
          else {
            const free = freeSlots(semaphore);
            const next = one.do === "lock" ? lockSlot(semaphore, one.id) : unlockSlot(semaphore, one.id);
            takenFromNothing ||= one.do === "lock" && next.ok && next.isChanged && free <= 0;
            if (next.ok) semaphore = next.semaphore;
          }
          expect(freeSlots(semaphore) + semaphore.holders.length).toBe(semaphore.max);
          expect(semaphore.holders).toEqual(
            [...new Set(semaphore.holders)].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
          );
          expect(parseSemaphore(encodeSemaphore(semaphore))).toEqual(semaphore);
          expect(takenFromNothing).toBe(false);
        }
      }),
    );
  });

  it("ids are bounded and printable", () => {
    for (const id of ["", "a\nb", "x".repeat(257), "\ud800"])
      expect(() => checkHolderId(id)).toThrow(/is no id of a holder/);
    checkHolderId("113f16a7aaaaaaaaaaaaaaaaaaaaaaaa");
  });
});

describe("Go's text functions", () => {
  it.each([
    ["a b&c=ö/+", "a+b%26c%3D%C3%B6%2F%2B"],
    ["-_.~!'()*", "-_.~%21%27%28%29%2A"],
  ])("QueryEscape(%s)", (text, want) => expect(queryEscape(text)).toBe(want));

  it("escaping is undone", () => {
    fc.assert(fc.property(fc.string({ unit: "grapheme" }), (text) => queryUnescape(queryEscape(text)) === text));
    expect(queryUnescape("%zz")).toBeUndefined();
  });

  it("order is that of UTF-8 bytes, JSON is JSON", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
        expect(Math.sign(compareGo(a, b))).toBe(Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))));
        expect(JSON.parse(goJsonString(a))).toBe(a.toWellFormed());
      }),
    );
  });
});
