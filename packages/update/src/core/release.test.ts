import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { failsOnlyWith } from "../testing/fails-only-with.ts";
import { FormatError } from "./errors.ts";
import { addRelease, emptyStream, encodeReleases, parseReleases, releasesFileName, setUpdate } from "./release.ts";

const commit = (n: number) => n.toString(16).padStart(64, "0");
const release = (n: number) => ({ version: `${n}.0.0`, commit: commit(n), timestamp: n });

it("what is published can be read again, and the same releases give the same bytes", () => {
  const stream = addRelease(addRelease(emptyStream("stable"), release(1)), release(2), {
    version: "2.0.0",
    rollout: { start_epoch: 100, start_percentage: 0.1, duration_minutes: 60 },
    barrier: { reason: "keys" },
  });
  const text = encodeReleases(stream);
  expect(parseReleases(text)).toEqual(stream);
  expect(encodeReleases(parseReleases(text))).toBe(text);
  expect(stream.updates.map((u) => u.version)).toEqual(["1.0.0", "2.0.0"]);
});

it("a version means one commit for ever; publishing the same again changes nothing but its update", () => {
  const stream = addRelease(emptyStream("stable"), release(1));
  expect(() => addRelease(stream, { ...release(1), commit: commit(9) })).toThrow(
    "version 1.0.0 of stream stable is already published as commit",
  );
  const again = addRelease(stream, release(1), { version: "1.0.0", deadend: { reason: "broken" } });
  expect(again.releases).toHaveLength(1);
  expect(again.updates).toEqual([{ version: "1.0.0", deadend: { reason: "broken" } }]);
  expect(() => setUpdate(stream, { version: "7", rollout: {} })).toThrow("updates[1]: version 7 is no release");
});

describe("refusals name the place", () => {
  const good = { stream: "s", releases: [release(1)], updates: [] };
  it.each<[string, unknown, string]>([
    ["no JSON", "{", "release metadata is not JSON"],
    ["no list", { ...good, releases: {} }, "releases is not a list"],
    [
      "a version with a slash",
      { ...good, releases: [{ ...release(1), version: "../x" }] },
      "releases[0].version is not",
    ],
    ["a short checksum", { ...good, releases: [{ ...release(1), commit: "ab" }] }, "releases[0].commit is not 64"],
    ["a negative time", { ...good, releases: [{ ...release(1), timestamp: -1 }] }, "releases[0].timestamp is not"],
    ["twice", { ...good, releases: [release(1), release(1)] }, "releases[1]: version 1.0.0 is there twice"],
    [
      "150 percent",
      { ...good, updates: [{ version: "1.0.0", rollout: { start_percentage: 1.5 } }] },
      "updates[0].rollout.start_percentage is not a number from 0 to 1",
    ],
    ["a stream that leaves", { ...good, stream: "a/b" }, "stream is not a stream's name"],
  ])("%s", (_title, value, message) => {
    expect(() => parseReleases(typeof value === "string" ? value : JSON.stringify(value))).toThrow(message);
  });

  it.each(["..", "a/b", "", ".hidden", "a\0"])("stream %j has no file", (name) => {
    expect(() => releasesFileName(name)).toThrow(FormatError);
  });
});

it("no text makes the parser fail in another way", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.jsonValue().map((v) => JSON.stringify({ stream: "s", releases: v, updates: v })),
      ),
      (text) => failsOnlyWith(FormatError, () => parseReleases(text)),
    ),
  );
});
