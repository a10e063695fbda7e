import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatReference, ImageReferenceError, parseReference, shortReference } from "./index.ts";
import { returnsOrThrows } from "./testing/thrown-by.ts";

const HEX = "a".repeat(64);

describe("parseReference", () => {
  it.each([
    ["debian", "docker.io/library/debian:latest"],
    ["debian:13", "docker.io/library/debian:13"],
    ["docker://debian:13", "docker.io/library/debian:13"],
    ["team/app", "docker.io/team/app:latest"],
    ["docker.io/debian", "docker.io/library/debian:latest"],
    ["index.docker.io/team/app", "docker.io/team/app:latest"],
    ["registry-1.docker.io/library/debian", "docker.io/library/debian:latest"],
    ["quay.io/coreos/etcd:v3.5.16", "quay.io/coreos/etcd:v3.5.16"],
    ["localhost/app", "localhost/app:latest"],
    ["localhost:5000/app", "localhost:5000/app:latest"],
    ["127.0.0.1:5000/a/b/c:x", "127.0.0.1:5000/a/b/c:x"],
    ["[::1]:5000/app", "[::1]:5000/app:latest"],
    ["Registry.Example.COM/app", "registry.example.com/app:latest"],
    [`debian@sha256:${HEX}`, `docker.io/library/debian@sha256:${HEX}`],
    [`debian:13@sha256:${HEX}`, `docker.io/library/debian:13@sha256:${HEX}`],
    ["a__b/c.d-e--f", "docker.io/a__b/c.d-e--f:latest"],
  ])("%s is %s", (text, want) => expect(formatReference(parseReference(text))).toBe(want));

  it.each([
    ["", /empty/],
    ["Debian", /not a repository name/],
    ["app:", /tag/],
    ["app:-x", /tag/],
    [`app:${"x".repeat(129)}`, /tag/],
    ["app@sha256:abc", /digest/],
    [`app@sha256:${"A".repeat(64)}`, /digest/],
    [`app@md5:${HEX} `, /digest/],
    ["a//b", /not a repository name/],
    ["/a", /not a repository name/],
    ["a/", /not a repository name/],
    ["../a", /host|repository/],
    ["a/../b", /not a repository name/],
    ["a___b", /not a repository name/],
    ["localhost:99999/a", /host/],
    ["localhost:0/a", /host/],
    ["host.example:x/a", /host/],
    ["user@host/a", /digest/],
    ["https://quay.io/a", /./],
    [`quay.io/${"a".repeat(250)}`, /longer/],
    ["a\nb", /not a repository name/],
    ["x".repeat(2000), /longer/],
  ])("refuses %j", (text, why) => {
    expect(() => parseReference(text)).toThrow(ImageReferenceError);
    expect(() => parseReference(text)).toThrow(why);
  });

  const component = fc.stringMatching(/^[a-z0-9]{1,8}([._-][a-z0-9]{1,4})?$/);
  const name = fc.record({
    registry: fc.constantFrom("docker.io", "quay.io", "localhost:5000", "10.0.0.1:80"),
    path: fc.array(component, { minLength: 1, maxLength: 4 }),
    tag: fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,10}$/),
  });

  it("reads back what it writes, in full and in short", () => {
    fc.assert(
      fc.property(name, ({ registry, path, tag }) => {
        const reference = parseReference(`${registry}/${path.join("/")}:${tag}`);
        expect(parseReference(formatReference(reference))).toEqual(reference);
        expect(parseReference(shortReference(reference))).toEqual(reference);
      }),
    );
  });

  it("gives a good name or an ImageReferenceError for any text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-z:/@.A-Z0-9-]{0,30}$/)), (text) => {
        const check = () => {
          const reference = parseReference(text);
          expect(reference.repository).toMatch(/^[a-z0-9][a-z0-9._/-]*$/);
          expect(parseReference(formatReference(reference))).toEqual(reference);
        };
        expect(returnsOrThrows(check, ImageReferenceError)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});
