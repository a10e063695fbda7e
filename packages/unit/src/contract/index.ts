import { describe } from "vitest";
import { failureTests } from "./failures.ts";
import { type UnitManagerHarness, type UnitManagerSupports, useBench } from "./harness.ts";
import { journalTests } from "./journal.ts";
import { lifecycleTests } from "./lifecycle.ts";
import { loadTests } from "./load.ts";

export type { UnitManagerHarness, UnitManagerSupports } from "./harness.ts";

/**
 * Registers the contract of {@link UnitManager} as vitest tests: what both systemd and the embedded manager do, and so
 * what fleet may rely on.
 */
export function unitManagerContract(
  name: string,
  factory: () => Promise<UnitManagerHarness>,
  supports: UnitManagerSupports,
): void {
  describe(`${name}: contract of UnitManager`, () => {
    const { bench } = useBench(factory);
    describe("units", () => {
      loadTests(bench, supports);
    });
    describe("lifecycle", () => {
      lifecycleTests(bench);
    });
    describe("failures", () => {
      failureTests(bench, supports);
    });
    describe("journal and events", () => {
      journalTests(bench);
    });
  });
}
