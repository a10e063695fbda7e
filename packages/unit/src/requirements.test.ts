import fc from "fast-check";
import { expect, it } from "vitest";
import { parseUnitName } from "./name.ts";
import { parseOptions } from "./options.ts";
import { checkRequirements, metadataMatches, parseRequirements } from "./requirements.ts";
import { attempt } from "./testing.ts";

const parse = (text: string, name?: string) =>
  parseRequirements(parseOptions(`[X-Fleet]\n${text}`), name === undefined ? undefined : parseUnitName(name));

it("reads every requirement", () => {
  const { requirements, warnings } = parse(
    [
      "MachineID=first",
      "MachineID=second",
      "MachineOf=a.service",
      "MachineOf=%p@x.service",
      'MachineMetadata="disk=ssd" "region=eu"',
      "MachineMetadata=disk=nvme",
      "Conflicts=web@*.service db.service",
      "X-Conflicts=%p@*.service",
      "Replaces=old-%i.service",
      "Global=no",
      "Global=True",
    ].join("\n"),
    "app@7.service",
  );
  expect(warnings).toEqual([]);
  expect(requirements).toEqual({
    machineId: "first",
    machineOf: ["a.service", "app@x.service"],
    machineMetadata: new Map([
      ["disk", ["ssd", "nvme"]],
      ["region", ["eu"]],
    ]),
    conflicts: ["app@*.service", "web@*.service", "db.service"],
    replaces: ["old-7.service"],
    global: true,
  });
});

it.each([
  ["X-ConditionMachineID=x", { machineId: "x" }],
  ["X-ConditionMachineBootID=x", { machineId: "x" }],
  ["X-ConditionMachineOf=a.service", { machineOf: ["a.service"] }],
  ["X-ConditionMachineMetadata=a=b", { machineMetadata: new Map([["a", ["b"]]]) }],
  ["X-Conflicts=a", { conflicts: ["a"] }],
])("understands the legacy %s", (text, want) => expect(parse(text).requirements).toMatchObject(want));

it("takes same keys as OR and different keys as AND", () => {
  const { machineMetadata } = parse(
    "MachineMetadata=disk=ssd\nMachineMetadata=disk=nvme\nMachineMetadata=region=eu",
  ).requirements;
  expect(metadataMatches(machineMetadata, { disk: "nvme", region: "eu" })).toBe(true);
  expect(metadataMatches(machineMetadata, { disk: "nvme" })).toBe(false);
  expect(metadataMatches(machineMetadata, { disk: "hdd", region: "eu" })).toBe(false);
});

it.each([
  ["MachineID=a\nMachineOf=b.service", "MachineID cannot be used with Peers"],
  ["MachineID=a\nConflicts=b", "MachineID cannot be used with Conflicts"],
  ["MachineID=a\nGlobal=true", "MachineID cannot be used with Global"],
  ["MachineID=a\nReplaces=b", "MachineID cannot be used with Replaces"],
  ["Global=true\nMachineOf=b.service", "Global cannot be used with Peers"],
  ["Global=true\nReplaces=b", "Global cannot be used with Replaces"],
  ["Conflicts=a\nReplaces=b", "Conflicts cannot be used with Replaces"],
  ["MachineOf=a.service\nConflicts=a.*", 'unresolvable requirements: peer "a.service" matches conflict "a.*"'],
  ["MachineOf=a.service\nReplaces=a.*", 'unresolvable requirements: peer "a.service" matches replace "a.*"'],
])("refuses %j", (text, message) => expect(() => checkRequirements(parse(text).requirements)).toThrow(message));

it("accepts Global with Conflicts", () => checkRequirements(parse("Global=true\nConflicts=a").requirements));

it.each([
  ["Conflict=a", 'unrecognized requirement in [X-Fleet] section: "Conflict"; did you mean Conflicts?'],
  ["machineof=a", 'unrecognized requirement in [X-Fleet] section: "machineof"; did you mean MachineOf?'],
  ["X-Colour=a", 'unrecognized requirement in [X-Fleet] section: "X-Colour"'],
  ["MachineMetadata=disk>=4", undefined],
  ["MachineMetadata=disk==4", 'MachineMetadata=disk==4 has no effect: expected key=value with exactly one "="'],
  ["Conflicts=[", 'the pattern "[" is malformed and matches nothing'],
])("warns about %s", (text, warning) => expect(parse(text).warnings).toEqual(warning === undefined ? [] : [warning]));

it("answers any section", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom("MachineOf", "MachineMetadata", "Conflicts", "Global", "Foo"), fc.string())),
      (pairs) => {
        attempt(() => parse(pairs.map(([k, v]) => `${k}=${v}`).join("\n"), "a@b.service"));
      },
    ),
  );
});
