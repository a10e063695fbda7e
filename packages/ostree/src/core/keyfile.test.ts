import fc from "fast-check";
import { expect, it } from "vitest";
import { parseRepoConfig } from "../repo/config.ts";
import { OstreeFormatError, OstreeRepoError } from "./errors.ts";
import { formatKeyFile, parseKeyFile } from "./keyfile.ts";

const keys = fc.stringMatching(/^[a-z][a-z-]{0,10}$/);
const values = fc.string({ unit: "grapheme", maxLength: 20 }).filter((s) => s.isWellFormed() && !s.includes("\0"));
const groups = fc.dictionary(
  fc.stringMatching(/^[a-z][a-z "]{0,10}[a-z"]$/),
  fc.dictionary(keys, values, { maxKeys: 4 }),
  {
    maxKeys: 4,
  },
);

it("reads back what it wrote", () => {
  fc.assert(
    fc.property(groups, (wanted) => {
      const text = formatKeyFile(
        Object.entries(wanted).map(([group, pairs]) => [group, Object.entries(pairs)] as const),
      );
      const read = Object.fromEntries(
        [...parseKeyFile(text).groups].map(([group, map]) => [group, Object.fromEntries(map)]),
      );
      expect(read).toEqual({ ...wanted });
    }),
  );
});

it("keeps spaces that are not ASCII's, and those of ASCII by escapes", () => {
  for (const value of ["\u2003x\u00a0", "  x ", "\tx\n", "a\\sb"]) {
    expect(
      parseKeyFile(formatKeyFile([["g", [["k", value]]]]))
        .groups.get("g")
        ?.get("k"),
    ).toBe(value);
  }
});

it("of any text, fails with the one error or not at all", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("[", "]", "=", "\n", "a", "#", " ", "\\", '"'), maxLength: 40 }),
      (text) => {
        try {
          parseKeyFile(text);
        } catch (error) {
          if (!(error instanceof OstreeFormatError)) throw error;
        }
      },
    ),
  );
});

it("reads a repository's config", () => {
  const config = parseRepoConfig(
    '# ours\n[core]\nrepo_version=1\nmode=archive-z2\nmin-free-space-size=2GB\n\n[remote "o"]\nurl=http://x/\ngpg-verify=false\n',
    "/r",
  );
  expect(config).toMatchObject({ mode: "archive", fsync: true, minFreeSpacePercent: 0, minFreeSpaceSize: 2 ** 31 });
  expect(config.remotes.get("o")?.options.get("url")).toBe("http://x/");
});

it.each([
  ["no version", "[core]\nmode=bare\n"],
  ["another version", "[core]\nrepo_version=2\nmode=bare\n"],
  ["a mode we do not have", "[core]\nrepo_version=1\nmode=bare-user\n"],
  ["what is no key file", "hello"],
  ["a percentage over 99", "[core]\nrepo_version=1\nmin-free-space-percent=100\n"],
  ["a size without unit", "[core]\nrepo_version=1\nmin-free-space-size=5\n"],
  ["a truth that is none", "[core]\nrepo_version=1\nfsync=perhaps\n"],
])("refuses a config with %s", (_title, text) => {
  expect(() => parseRepoConfig(text, "/r")).toThrow(OstreeRepoError);
});
