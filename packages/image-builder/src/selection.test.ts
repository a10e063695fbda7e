import { describe, expect, it } from "vitest";
import { parseList } from "./definition.ts";
import { missingLibraries, parseReadelf } from "./elf.ts";
import { isExcluded } from "./glob.ts";
import { chooseMirror, parseTargets, pickOptions } from "./mirror.ts";
import { moduleClosure, moduleName, parseModulesDep } from "./modules.ts";

describe("modules", () => {
  const dependencies = parseModulesDep(
    [
      "kernel/net/a.ko.xz: kernel/net/b.ko.xz kernel/net/c-d.ko.xz",
      "kernel/net/b.ko.xz: kernel/net/c-d.ko.xz",
      "kernel/net/c-d.ko.xz:",
      "kernel/net/unused.ko.xz:",
      "",
    ].join("\n"),
  );

  it("are taken with what they need, that first", () => {
    const files = moduleClosure(["a"], dependencies, new Set());
    expect(files.map(moduleName)).toEqual(["c_d", "b", "a"]);
  });

  it("may be built into the kernel, but must exist", () => {
    expect(moduleClosure(["ext4"], dependencies, new Set(["ext4"]))).toEqual([]);
    expect(() => moduleClosure(["nope", "a"], dependencies, new Set())).toThrow("this kernel has no module nope");
  });

  it("are one under both spellings", () => {
    expect(moduleClosure(["c_d", "c-d"], dependencies, new Set())).toHaveLength(1);
  });
});

it.each([
  ["/usr/share/doc/x/y", true],
  ["/usr/share/doc/.hidden", true],
  ["/usr/share/doc", false],
  ["/usr/share/documents", false],
  ["/usr/sbin/e2scrub_all", true],
  ["/usr/sbin/e2fsck", false],
  ["/etc/passwd-", true],
  ["/etc/passwd", false],
])("excludes: %s → %s", (path, want) => {
  expect(isExcluded(path, ["/usr/share/doc/**", "/usr/sbin/e2scrub*", "/etc/*-"])).toBe(want);
});

it("says which library a removal would take from whom", () => {
  const text = [
    "File: /r/usr/bin/x",
    " 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]",
    " 0x0000000000000001 (NEEDED)             Shared library: [libgone.so.1]",
    "File: /r/usr/bin/script",
  ].join("\n");
  expect(missingLibraries(parseReadelf(text), new Set(["libc.so.6"]))).toEqual(["/r/usr/bin/x needs libgone.so.1"]);
});

it("reads lists with comments", () => {
  expect(parseList("# head\na\n\n b # why\nc#d\n")).toEqual(["a", "b", "c#d"]);
});

describe("the mirror", () => {
  const line = (...fields: string[]) => fields.join("\t");

  it("is Debian's archive among the host's sources, not security's", () => {
    const text = [
      line("http://one.invalid/debian-security/", "x-security", "Debian", "Debian-Security", "main"),
      line("http://one.invalid/other/", "stable", "Vendor", "Vendor", "main"),
      line("http://two.invalid/mirror/", "x", "Debian", "Debian", "main"),
      line("http://three.invalid/debian/", "x", "Debian", "Debian", "contrib"),
    ].join("\n");
    expect(chooseMirror(parseTargets(text))).toBe("http://two.invalid/mirror/");
  });

  it("is told by its path when apt has no lists yet", () => {
    expect(chooseMirror(parseTargets(line("http://one.invalid/debian", "x", "", "", "main")))).toBe(
      "http://one.invalid/debian",
    );
    expect(chooseMirror([])).toBeUndefined();
  });

  it("inherits proxies and date checks, nothing else", () => {
    const dump = "APT::Architecture\tamd64\nAcquire::http::Proxy\thttp://p.invalid:1\nAcquire::Check-Date\t\n";
    expect(pickOptions(dump)).toEqual(['Acquire::http::Proxy "http://p.invalid:1";']);
  });
});
