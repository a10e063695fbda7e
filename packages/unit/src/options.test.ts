import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, it } from "vitest";
import { checkOptions, formatOptions, hashOptions, parseOptions, shortHash, type UnitOption } from "./options.ts";
import { sha1 } from "./sha1.ts";
import { attempt, unitText } from "./testing.ts";

const grouped = (options: readonly UnitOption[]) => {
  const sections = [...new Set(options.map((o) => o.section))];
  return sections.flatMap((s) => options.filter((o) => o.section === s));
};

it("writes sections in the order of their first setting", () => {
  const options = parseOptions("# c\n[Unit]\nA=1\n\n[Service]\nB=2 \\\n  3\n[Unit]\nC=4\n");
  expect(formatOptions(options)).toBe("[Unit]\nA=1\nC=4\n\n[Service]\nB=2 \\\n  3\n");
  expect(formatOptions([])).toBe("");
});

it("loses no setting on the way through text", () => {
  fc.assert(
    fc.property(unitText, (text) => {
      const parsed = attempt(() => parseOptions(`[Unit]\n${text}`));
      if ("refusal" in parsed) return;
      const options = parsed.value;
      checkOptions(options);
      expect(parseOptions(formatOptions(options))).toEqual(grouped(options));
    }),
    { numRuns: 500 },
  );
});

it("refuses settings that would become others", () => {
  fc.assert(
    fc.property(
      fc.record({ section: fc.string(), name: fc.string(), value: fc.string({ unit: "binary" }) }),
      (option) => {
        const marker = { section: "M", name: "M", value: "m" };
        if ("refusal" in attempt(() => checkOptions([option, marker]))) return;
        expect(parseOptions(formatOptions([option, marker]))).toEqual(grouped([option, marker]));
      },
    ),
    { numRuns: 500 },
  );
});

it("hashes as node:crypto does", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (data) => {
      expect(sha1(data)).toBe(createHash("sha1").update(data).digest("hex"));
    }),
  );
  const big = new Uint8Array(1_000_003).fill(0x61);
  expect(sha1(big)).toBe(createHash("sha1").update(big).digest("hex"));
});

it("hashes the serialised settings, so that comments do not count", () => {
  const a = hashOptions(parseOptions("[Service]\nExecStart=/bin/true\n"));
  const b = hashOptions(parseOptions("# x\n[Service]\n\n ExecStart = /bin/true\n"));
  expect(a).toBe(b);
  expect(a).toBe(createHash("sha1").update("[Service]\nExecStart=/bin/true\n").digest("hex"));
  expect(shortHash(a)).toHaveLength(7);
});
