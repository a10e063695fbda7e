import fc from "fast-check";
import { expect, it } from "vitest";
import { globMatches, matchGlob } from "./glob.ts";

// The expectations are what Go documents for path.Match.
it.each([
  ["abc", "abc", "match"],
  ["*", "abc", "match"],
  ["*c", "abc", "match"],
  ["a*", "ab/c", "no-match"],
  ["a*/b", "abc/b", "match"],
  ["a*b*c*d*e*/f", "axbxcxdxe/f", "match"],
  ["a*b*c*d*e*/f", "axbxcxdxe/xxx/f", "no-match"],
  ["ab[c]", "abc", "match"],
  ["ab[b-d]", "abc", "match"],
  ["ab[e-g]", "abc", "no-match"],
  ["ab[^c]", "abc", "no-match"],
  ["ab[^e-g]", "abc", "match"],
  ["a\\*b", "a*b", "match"],
  ["a\\*b", "ab", "no-match"],
  ["a?b", "a☺b", "match"],
  ["a?b", "a/b", "no-match"],
  ["[\\]a]", "]", "match"],
  ["[\\-]", "-", "match"],
  ["[]a]", "]", "bad-pattern"],
  ["[-]", "-", "bad-pattern"],
  ["[x-]", "x", "bad-pattern"],
  ["[^", "a", "bad-pattern"],
  ["a[", "ab", "bad-pattern"],
  ["a\\", "a", "bad-pattern"],
  ["", "", "match"],
  ["", "a", "no-match"],
  ["*x", "xxx", "match"],
  ["web@*.service", "web@1.service", "match"],
])("%s on %s: %s", (pattern, name, want) => expect(matchGlob(pattern, name)).toBe(want));

/** A slow and obvious reference for patterns of letters, `*` and `?`. */
function simple(pattern: string, name: string): boolean {
  const source = pattern.replace(/[*?]/g, (c) => (c === "*" ? "[^/]*" : "[^/]"));
  return new RegExp(`^${source}$`, "u").test(name);
}

it("agrees with a regular expression, and answers everything at once", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[ab/*?]{0,8}$/), fc.stringMatching(/^[ab/]{0,8}$/), (pattern, name) => {
      expect(globMatches(pattern, name)).toBe(simple(pattern, name));
    }),
    { numRuns: 2000 },
  );
  fc.assert(fc.property(fc.string(), fc.string(), (pattern, name) => void matchGlob(pattern, name)));
  const start = performance.now();
  expect(globMatches("*a".repeat(100) + "b", "a".repeat(20_000))).toBe(false);
  expect(performance.now() - start).toBeLessThan(2000);
});
