import { expect, it } from "vitest";
import {
  checkRequirements,
  formatUnit,
  hashOptions,
  parseOptions,
  parseRequirements,
  parseUnit,
  setOption,
} from "./index.ts";

it("does what the README says", () => {
  const text = "# web\n[Service]\nExecStart=/bin/web \\\n  --port 80\n\n[X-Fleet]\nConflicts=web@*.service\n";
  expect(formatUnit(parseUnit(text))).toBe(text);
  const edited = formatUnit(setOption(parseUnit(text), "Service", "Restart", "always"));
  expect(edited).toBe(text.replace("--port 80\n", "--port 80\nRestart=always\n"));
  expect(hashOptions(parseOptions(text))).toBe(hashOptions(parseOptions(text.slice(6))));
  const { requirements, warnings } = parseRequirements(parseOptions(text));
  checkRequirements(requirements);
  expect(requirements.conflicts).toEqual(["web@*.service"]);
  expect(warnings).toEqual([]);
});
