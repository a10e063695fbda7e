import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decideBoot } from "./decide.ts";
import { formatEntryName } from "./entry-name.ts";
import { readBootState, viewFromNames } from "./read-state.ts";
import type { BootEntry, BootState, Firmware, LoaderView } from "./state.ts";

const entry = (number: number): BootEntry => ({
  id: `keelson-${number}`,
  number,
  deployment: `${"a".repeat(64)}.${number}`,
  bootcsum: "b".repeat(64),
  options: "quiet",
});
const state = (numbers: readonly number[], view: LoaderView): BootState => ({
  entries: numbers.map(entry),
  grub: view,
  systemdBoot: view,
});
const trial = (n: number, triesLeft: number, triesDone: number) => ({ id: `keelson-${n}`, triesLeft, triesDone });
const show = (s: BootState, firmware: Firmware) => {
  const { entry: chosen, next } = decideBoot(s, firmware);
  const view = firmware === "uefi" ? next.systemdBoot : next.grub;
  const counters = view.trial === undefined ? "" : ` ${view.trial.id}+${view.trial.triesLeft}-${view.trial.triesDone}`;
  return `${chosen.id}${counters}`;
};

describe("decideBoot", () => {
  it.each<[string, BootState, string]>([
    ["the last good one", state([1], { default: "keelson-1" }), "keelson-1"],
    ["not the newest, but the last good one", state([1, 2], { default: "keelson-1" }), "keelson-1"],
    ["a trial's first try", state([1, 2], { default: "keelson-1", trial: trial(2, 3, 0) }), "keelson-2 keelson-2+2-1"],
    ["its last try", state([1, 2], { default: "keelson-1", trial: trial(2, 1, 2) }), "keelson-2 keelson-2+0-3"],
    ["none left", state([1, 2], { default: "keelson-1", trial: trial(2, 0, 3) }), "keelson-1 keelson-2+0-3"],
    [
      "a trial without its entry",
      state([1], { default: "keelson-1", trial: trial(2, 3, 0) }),
      "keelson-1 keelson-2+3-0",
    ],
    [
      "nothing good: the used-up trial",
      state([2], { default: undefined, trial: trial(2, 0, 3) }),
      "keelson-2 keelson-2+0-3",
    ],
  ])("%s", (_title, s, want) => {
    for (const firmware of ["bios", "uefi", "direct"] as const) expect(show(s, firmware)).toBe(want);
  });

  it("says so when there is nothing", () => {
    expect(() => decideBoot(state([], { default: undefined }), "bios")).toThrow(/nothing to boot/);
  });

  it("counts in the loader that boots, and leaves the other's count alone", () => {
    const s = state([1, 2], { default: "keelson-1", trial: trial(2, 3, 0) });
    const { next } = decideBoot(s, "uefi");
    expect(next.grub).toEqual(s.grub);
    expect(next.systemdBoot.trial).toEqual(trial(2, 2, 1));
  });

  it("tries a bad entry exactly as often as was asked, then boots the good one for ever", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom<Firmware>("bios", "uefi", "direct"),
        (tries, firmware) => {
          let s = state([4, 7], { default: "keelson-4", trial: trial(7, tries, 0) });
          const booted = Array.from({ length: tries + 3 }, () => {
            const decision = decideBoot(s, firmware);
            s = decision.next;
            return decision.entry.id;
          });
          expect(booted).toEqual([...Array(tries).fill("keelson-7"), "keelson-4", "keelson-4", "keelson-4"]);
        },
      ),
    );
  });
});

describe("systemd-boot's view is in the names", () => {
  it.each<[string, string[], LoaderView]>([
    ["one good", ["keelson-1.conf"], { default: "keelson-1" }],
    ["the higher of two good ones", ["keelson-9.conf", "keelson-10.conf"], { default: "keelson-10" }],
    ["a new trial", ["keelson-1.conf", "keelson-2+3.conf"], { default: "keelson-1", trial: trial(2, 3, 0) }],
    ["a used-up one", ["keelson-1.conf", "keelson-2+0-3.conf"], { default: "keelson-1", trial: trial(2, 0, 3) }],
    ["an older trial does not count", ["keelson-3.conf", "keelson-2+3.conf"], { default: "keelson-3" }],
  ])("%s", (_title, files, want) => {
    expect(readBootState({ entryFiles: new Map(files.map((f) => [f, text])), grubenv: undefined }).systemdBoot).toEqual(
      want,
    );
  });
  const text = `linux /keelson/${"b".repeat(64)}/vmlinuz\noptions ostree=/ostree/deploy/keelson/deploy/${"a".repeat(64)}.0\n`;

  it("ignores files that are not ours or damaged", () => {
    const files = new Map([
      ["keelson-1.conf", text],
      ["keelson-2.conf", "garbage"],
      ["other.conf", text],
      ["keelson-3.tmp", text],
    ]);
    const s = readBootState({ entryFiles: files, grubenv: new Uint8Array(7) });
    expect(s.entries.map((e) => e.id)).toEqual(["keelson-1"]);
    expect(s.grub).toEqual({ default: undefined });
  });

  it("names round-trip", () => {
    const counters = fc.option(fc.record({ left: fc.nat(9), done: fc.nat(9) }), { nil: undefined });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), counters, (number, c) => {
        const name = formatEntryName({ number, ...(c === undefined ? {} : { counters: c }) });
        const view = viewFromNames([{ number, ...(c === undefined ? {} : { counters: c }) }]);
        expect(readBootState({ entryFiles: new Map([[name, text]]), grubenv: undefined }).systemdBoot).toEqual(view);
      }),
    );
  });
});
