import fc from "fast-check";
import { it } from "vitest";
import { hashIgnoresScrub, history, keepsOnlyReadable, ranges, storeEqualsModel } from "./naive-model.ts";

const numRuns = 500;

it("equals the naive model at every revision, through txns, compactions, scrubs and restores", () => {
  fc.assert(fc.property(history, ranges, storeEqualsModel), { numRuns });
});

it("has one hash whatever the pace of the scrub", () => {
  fc.assert(fc.property(history, fc.nat(30), hashIgnoresScrub), { numRuns });
});

it("keeps exactly the records that something can still read", () => {
  fc.assert(fc.property(history, keepsOnlyReadable), { numRuns });
});
