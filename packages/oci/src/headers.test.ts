import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseChallenges, parseContentRange, parseDigest, parseNextLink, parseRetryAfter } from "./index.ts";

const plain = (header: string) => parseChallenges(header).map(({ scheme, parameters }) => ({ scheme, ...parameters }));

describe("parseChallenges", () => {
  it.each([
    [
      'Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push"',
      [
        {
          scheme: "bearer",
          realm: "https://auth.example/token",
          service: "registry",
          scope: "repository:a/b:pull,push",
        },
      ],
    ],
    ['Basic realm="x"', [{ scheme: "basic", realm: "x" }]],
    ["Basic", [{ scheme: "basic" }]],
    [
      'basic realm="a, b", Bearer realm="https://x", error = "insufficient_scope"',
      [
        { scheme: "basic", realm: "a, b" },
        { scheme: "bearer", realm: "https://x", error: "insufficient_scope" },
      ],
    ],
    ['Negotiate abc==, Basic realm="x"', [{ scheme: "negotiate" }, { scheme: "basic", realm: "x" }]],
    ['Bearer realm="a\\"b"', [{ scheme: "bearer", realm: 'a"b' }]],
    ['Bearer realm=tok,REALM="b"', []],
    ["", []],
    [",,,", []],
    ['="x"', []],
  ])("%s", (header, want) => expect(plain(header)).toEqual(want));

  it("ends for any text, within its bounds", () => {
    const pieces = fc.array(
      fc.constantFrom("Bearer ", "Basic", ",", " ", "realm=", '"', "a", "=", "\\", "==", "b=c", "\t"),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(pieces, (tokens) => {
        expect(parseChallenges(tokens.join("")).length).toBeLessThan(17);
      }),
      { numRuns: 3_000 },
    );
    const started = performance.now();
    parseChallenges('Bearer a="'.repeat(100_000));
    expect(performance.now() - started).toBeLessThan(1_000);
  });

  it("reads back quoted parameters", () => {
    const value = fc.string().filter((text) => !/[\n\r]/.test(text));
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), value, { maxKeys: 8 }), (parameters) => {
        const quoted = Object.entries(parameters).map(([k, v]) => `${k}="${v.replace(/["\\]/g, "\\$&")}"`);
        const [challenge] = parseChallenges(`Bearer ${quoted.join(", ")}`);
        expect({ ...challenge?.parameters }).toEqual({ ...parameters });
      }),
    );
  });
});

describe("other headers", () => {
  it.each([
    ['</v2/a/tags/list?n=2&last=b>; rel="next"', "/v2/a/tags/list?n=2&last=b"],
    ["<x>; rel=prev, <y>; rel=next", "y"],
    ['<x>; title="a"; rel="last next"', "x"],
    ["<x>", undefined],
    ["next", undefined],
  ])("the next page of %s", (header, want) => expect(parseNextLink(header)).toBe(want));

  it("reads any header of the largest size at once", () => {
    const started = performance.now();
    for (const piece of [" ", "<x>; ", "<x>; a ", '<x>; a="', "<x", "; ", "=", "a="]) {
      const header = `<x>; a${piece.repeat(20_000)}`;
      parseNextLink(header);
      parseChallenges(header);
      parseContentRange(header);
      parseRetryAfter(header, 0);
    }
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it.each([
    ["120", 120_000],
    [" 0 ", 0],
    ["Thu, 01 Jan 1970 00:01:00 GMT", 50_000],
    ["Thu, 01 Jan 1970 00:00:00 GMT", 0],
    ["-1", undefined],
    ["soon", undefined],
    ["Thu, 99 Jan 1970 00:00:00 GMT", undefined],
    ["Thu, 01 Foo 1970 00:00:00 GMT", undefined],
  ])("Retry-After %s", (header, want) => expect(parseRetryAfter(header, 10_000)).toBe(want));

  it("reads dates as the built-in Date writes them", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), (seconds) => {
        expect(parseRetryAfter(new Date(seconds * 1_000).toUTCString(), 0)).toBe(seconds * 1_000);
      }),
    );
  });

  it.each([
    ["bytes 10-99/100", { start: 10, end: 99, total: 100 }],
    ["bytes 0-0/*", { start: 0, end: 0, total: undefined }],
    ["bytes 5-4/10", undefined],
    ["bytes 0-10/10", undefined],
    ["bytes */10", undefined],
    ["items 0-1/2", undefined],
  ])("Content-Range %s", (header, want) => expect(parseContentRange(header)).toEqual(want));

  it("digests: unknown algorithms parse, known ones have their length", () => {
    expect(parseDigest("blake3:abcDEF=_-").algorithm).toBe("blake3");
    expect(parseDigest("multihash+base58:QmRZxt2b").encoded).toBe("QmRZxt2b");
    for (const bad of [
      "sha256:ab",
      "sha512:ab",
      "x",
      ":a",
      "a:",
      "sha256:../x",
      `sha256:${"a".repeat(300)}`,
      `SHA256:${"a".repeat(64)}`,
    ]) {
      expect(() => parseDigest(bad)).toThrow(/digest/);
    }
  });
});
