import { expect, it } from "vitest";
import { type FoundUnit, planUnits, type WantedUnit } from "./agent-plan.ts";

const want = (state: "loaded" | "launched", hash = "h1", name = "x.service"): WantedUnit => ({ name, hash, state });
const have = (isLaunched: boolean, hash = "h1", name = "x.service"): FoundUnit => ({ name, hash, isLaunched });

it.each<[string, WantedUnit[], FoundUnit[], string]>([
  ["nothing wanted, nothing there", [], [], ""],
  ["load", [want("loaded")], [], "x.service: load"],
  ["load and start", [want("launched")], [], "x.service: load start"],
  ["already loaded", [want("loaded")], [have(false)], ""],
  ["already launched, also by an earlier fleetd", [want("launched")], [have(true)], ""],
  ["start", [want("launched")], [have(false)], "x.service: start"],
  ["stop", [want("loaded")], [have(true)], "x.service: stop"],
  ["moved away or destroyed", [], [have(true)], "x.service: stop unload"],
  ["new text while launched", [want("launched", "h2")], [have(true)], "x.service: stop load start"],
  ["new text while loaded", [want("loaded", "h2")], [have(false)], "x.service: stop load"],
  [
    "each unit for itself, by name",
    [want("launched", "h1", "b.service"), want("launched", "h1", "a.service")],
    [have(true, "h1", "c.service")],
    "a.service: load start; b.service: load start; c.service: stop unload",
  ],
])("%s", (_title, wanted, found, expected) => {
  const shown = planUnits(wanted, found).map((task) => `${task.unit}: ${task.steps.join(" ")}`);
  expect(shown.join("; ")).toBe(expected);
});
