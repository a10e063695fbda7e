import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { argumentOf, formatEntryFile, formatGrubEntry, parseEntryFile, parseGrubEntry } from "./entry-file.ts";
import type { BootEntry } from "./state.ts";

const DEPLOYMENT = `${"0123456789abcdef".repeat(4)}.0`;
const entry: BootEntry = {
  id: "keelson-7",
  number: 7,
  version: "0.2.0",
  deployment: DEPLOYMENT,
  bootcsum: "c".repeat(64),
  options: `quiet root=PARTLABEL=root ostree=/ostree/deploy/keelson/deploy/${DEPLOYMENT} keelson.entry=keelson-7`,
};

describe("an entry's files", () => {
  it("systemd-boot's", () => {
    expect(formatEntryFile(entry)).toBe(
      [
        "title Keelson OS 0.2.0 (keelson-7)",
        "sort-key keelson",
        "version 7",
        "x-keelson-version 0.2.0",
        `linux /keelson/${"c".repeat(64)}/vmlinuz`,
        `initrd /keelson/${"c".repeat(64)}/initramfs`,
        `options ${entry.options} keelson.loader=systemd-boot`,
        "",
      ].join("\n"),
    );
  });

  it("GRUB's, every word quoted", () => {
    expect(formatGrubEntry(entry)).toBe(
      `# version 0.2.0\nif linux /keelson/${"c".repeat(64)}/vmlinuz 'quiet' 'root=PARTLABEL=root' ` +
        `'ostree=/ostree/deploy/keelson/deploy/${DEPLOYMENT}' 'keelson.entry=keelson-7' 'keelson.loader=grub'; ` +
        `then initrd /keelson/${"c".repeat(64)}/initramfs; fi\n`,
    );
  });

  it("is read back as it was written", () => {
    const words = fc.array(fc.stringMatching(/^[a-z][a-z0-9.=,:;&|<>()#-]{0,20}$/), { maxLength: 8 });
    fc.assert(
      fc.property(words, fc.option(fc.stringMatching(/^[0-9a-z.+-]{1,12}$/), { nil: undefined }), (more, version) => {
        const { version: _, ...rest } = entry;
        const one: BootEntry = {
          ...rest,
          // The one that was asked for is last, and so counts.
          options: [...more, entry.options].join(" "),
          ...(version === undefined ? {} : { version }),
        };
        expect(parseEntryFile(7, formatEntryFile(one))).toEqual(one);
        expect(parseGrubEntry(7, formatGrubEntry(one))).toEqual(one);
      }),
    );
  });

  it.each(["a'b", 'a"b', "a$b", "a\\b", "a`b", "a\nb", "ä", "a  b"])("refuses the kernel argument %j", (options) => {
    expect(() => formatEntryFile({ ...entry, options })).toThrow(/kernel argument/);
    expect(() => formatGrubEntry({ ...entry, options })).toThrow(/kernel argument/);
  });

  it.each([
    ["", /names no kernel/],
    [`linux /keelson/${"c".repeat(64)}/vmlinuz\noptions quiet\n`, /names no deployment/],
    [`linux /../../etc/shadow\noptions ${entry.options}\n`, /names no kernel/],
    [`linux /keelson/${"c".repeat(64)}/vmlinuz\noptions ostree=/ostree/deploy/keelson/deploy/../x\n`, /no deployment/],
  ])("does not take %j", (text, want) => {
    expect(() => parseEntryFile(1, text)).toThrow(want);
  });

  it("the last of equal arguments counts", () => {
    expect(argumentOf("a=1 b=2 a=3", "a")).toBe("3");
    expect(argumentOf("ab=1", "a")).toBeUndefined();
  });
});
