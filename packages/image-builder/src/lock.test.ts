import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  compareLock,
  describeChange,
  formatLock,
  judgeChanges,
  type LockedPackage,
  type PackageLock,
  parseAptShow,
  parseLock,
  pinPreferences,
} from "./lock.ts";

const sha = (c: string) => c.repeat(64);
const lock = (packages: Record<string, LockedPackage>): PackageLock => ({
  suite: "trixie",
  architecture: "amd64",
  packages,
});
const p = (version: string, c = "a"): LockedPackage => ({ version, sha256: sha(c) });

describe("compareLock", () => {
  it.each<[string, Record<string, LockedPackage>, Record<string, LockedPackage>, string[]]>([
    ["nothing", { a: p("1") }, { a: p("1") }, []],
    ["a new package", {}, { a: p("1") }, ["a 1 is new"]],
    ["a package that is not needed any more", { a: p("1") }, {}, ["a 1 is no longer needed"]],
    ["a newer version", { a: p("1") }, { a: p("2", "b") }, ["a: locked 1, the mirror has 2"]],
    ["other bytes under one version", { a: p("1") }, { a: p("1", "b") }, ["a 1 has other bytes than locked"]],
  ])("tells %s", (_title, before, after, want) => {
    expect(compareLock(lock(before), lock(after)).map(describeChange)).toEqual(want);
  });
});

describe("judgeChanges", () => {
  const changed = compareLock(lock({ a: p("1") }), lock({ a: p("2") }));

  it("warns of newer versions, and refuses them when frozen", () => {
    expect(judgeChanges(changed, { frozen: false })).toEqual(["a: locked 1, the mirror has 2"]);
    expect(() => judgeChanges(changed, { frozen: true })).toThrow(/no longer has the locked packages.*--update-lock/);
    expect(judgeChanges([], { frozen: true })).toEqual([]);
  });

  it("refuses other bytes under one version, frozen or not", () => {
    const rebuilt = compareLock(lock({ a: p("1") }), lock({ a: p("1", "b") }));
    expect(() => judgeChanges(rebuilt, { frozen: false })).toThrow(/has other bytes/);
  });
});

describe("the lock file", () => {
  it("is sorted by name and reads back as written", () => {
    const name = fc.stringMatching(/^[a-z0-9][a-z0-9+.-]{0,12}$/);
    const locked = fc.record({
      version: fc.stringMatching(/^[0-9][0-9.:~+-]{0,10}$/),
      sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
    });
    fc.assert(
      fc.property(fc.dictionary(name, locked, { noNullPrototype: true }), (packages) => {
        const text = formatLock(lock(packages));
        const back = parseLock(text, "lock");
        expect(back).toEqual(lock(packages));
        expect(formatLock(back)).toBe(text);
      }),
    );
  });

  it.each([
    ["", /is not JSON/],
    ["{", /is not JSON/],
    ["{}", /suite/],
    ['{"suite":"x","architecture":"amd64","packages":{"a":{"version":"1","sha256":"zz"}}}', /sha256/],
  ])("refuses %j", (text, want) => {
    expect(() => parseLock(text, "packages.lock.json")).toThrow(want);
  });

  it("becomes apt preferences that prefer its versions", () => {
    expect(pinPreferences(lock({ a: p("1:2-3") }))).toBe("Package: a\nPin: version 1:2-3\nPin-Priority: 1001\n");
  });
});

it("reads versions and hashes from apt-cache show", () => {
  const text = `Package: a\nVersion: 1\nDescription: x\n more\nSHA256: ${sha("c")}\n\nPackage: b\nVersion: 2\n`;
  expect([...parseAptShow(text)]).toEqual([["a=1", p("1", "c")]]);
});
