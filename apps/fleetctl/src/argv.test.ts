import { expect, it } from "vitest";
import { completeName, modernize } from "./argv.ts";

it.each([
  ["list-machines -no-legend -l -fields machine", "list-machines --no-legend -l --fields machine"],
  ["start -block-attempts 20 x.service", "start --block-attempts 20 x.service"],
  ["list-units -fields=unit,active -full", "list-units --fields=unit,active --full"],
  ["journal --f x", "journal -f x"],
  ["list-units --l", "list-units -l"],
  ["list-units -o json", "list-units -o json"],
  ["cat -- -no-legend", "cat -- -no-legend"],
  ["--version", "--version"],
])("%s -> %s", (given, want) => {
  expect(modernize(given.split(" ")).join(" ")).toBe(want);
});

it("completes a command that is the only one to begin so", () => {
  const names = ["list-machines", "list-units", "list-unit-files", "status", "start", "stop"];
  expect(["list-m", "list-u", "stat", "st", "list-units", "x"].map((word) => completeName(word, names))).toEqual([
    "list-machines",
    "list-u",
    "status",
    "st",
    "list-units",
    "x",
  ]);
});
