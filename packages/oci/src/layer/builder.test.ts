import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readSuperblock, sealSuperblock, unsealSuperblock } from "../erofs/format.ts";
import { ErofsReader } from "../erofs/reader.ts";
import { LayerError } from "../errors.ts";
import { bytesToText, textToBytes } from "../tar/header.ts";
import { buildLayer, listImage, type MadeEntry, makeTar } from "../testing/index.ts";
import { returnsOrThrows } from "../testing/thrown-by.ts";
import type { LayerLimits } from "./limits.ts";
import { findInLayers } from "./lookup.ts";

const list = (entries: readonly MadeEntry[], limits?: LayerLimits) =>
  listImage(buildLayer(makeTar(entries), limits).reader);

describe("LayerBuilder", () => {
  it.each([
    ["an empty layer is a root", [], ["/ directory 755 0:0 x2"]],
    [
      "files, links, owners and modes",
      [
        { name: "./", type: "5", mode: 0o711, uid: 1 },
        { name: "d/f", content: "abc", mode: 0o4711, uid: 3_000_000_000, gid: 5 },
        { name: "d/s", type: "2", linkName: "../x", mode: 0 },
        { name: "h", type: "1", linkName: "./d/f" },
        { name: "p", type: "6", mode: 0o600 },
      ],
      [
        "/ directory 711 1:0 x3",
        "/d directory 755 0:0 x2",
        "/d/f file 4711 3000000000:5 3 x2",
        "/d/s symlink 777 0:0 4 x1 -> ../x",
        "/h file 4711 3000000000:5 3 x2",
        "/p fifo 600 0:0 0 x1",
      ],
    ],
    [
      "whiteouts",
      [
        { name: "d/.wh.gone" },
        { name: "d/.wh.too" },
        { name: "o/.wh..wh..opq" },
        { name: "o/new" },
        { name: ".wh..wh.plnk/1.2", content: "x" },
      ],
      [
        "/ directory 755 0:0 x4",
        "/d directory 755 0:0 x2",
        "/d/gone char 0 0:0 0 x2 0:0",
        "/d/too char 0 0:0 0 x2 0:0",
        "/o directory 755 0:0 x2 trusted.overlay.opaque=y",
        "/o/new file 644 0:0 0 x1",
      ],
    ],
    [
      "a whiteout only concerns lower layers, in whatever order it comes",
      [{ name: "a", content: "x" }, { name: ".wh.a" }, { name: ".wh.d" }, { name: "d/f" }, { name: ".wh.z" }],
      [
        "/ directory 755 0:0 x3",
        "/a file 644 0:0 1 x1",
        "/d directory 755 0:0 x2 trusted.overlay.opaque=y",
        "/d/f file 644 0:0 0 x1",
        "/z char 0 0:0 0 x1 0:0",
      ],
    ],
    [
      "the last of two entries of a name counts; directories keep what is in them",
      [
        { name: "f", content: "old" },
        { name: "g", type: "1", linkName: "f" },
        { name: "f", content: "newer" },
        { name: "d/", type: "5", mode: 0o700 },
        { name: "d/x" },
        { name: "d/", type: "5", mode: 0o750 },
        { name: "l", type: "2", linkName: "d" },
        { name: "l/", type: "5" },
      ],
      [
        "/ directory 755 0:0 x4",
        "/d directory 750 0:0 x2",
        "/d/x file 644 0:0 0 x1",
        "/f file 644 0:0 5 x1",
        "/g file 644 0:0 3 x1",
        "/l directory 755 0:0 x2",
      ],
    ],
    [
      "attributes that steer the host are dropped",
      [
        {
          name: "f",
          pax: {
            "SCHILY.xattr.user.a": "1",
            "SCHILY.xattr.security.capability": "cap",
            "SCHILY.xattr.trusted.overlay.redirect": "/etc",
            "SCHILY.xattr.user.overlay.opaque": "y",
            "SCHILY.xattr.security.selinux": "x",
          },
        },
      ],
      ["/ directory 755 0:0 x2", "/f file 644 0:0 0 x1 security.capability=cap user.a=1"],
    ],
  ] as [string, MadeEntry[], string[]][])("%s", (_title, entries, want) => expect(list(entries)).toEqual(want));

  it.each([
    ["an absolute name", [{ name: "/etc/passwd" }], "escapes"],
    ["a name with ..", [{ name: "a/../../b" }], "escapes"],
    ["a .. that would stay inside", [{ name: "a/../b" }], "escapes"],
    ["a long name with ..", [{ name: "x/".repeat(60), pax: { path: "../b" } }], "escapes"],
    ["an absolute whiteout", [{ name: "/.wh.etc" }], "escapes"],
    ["a hard link out of the layer", [{ name: "h", type: "1", linkName: "../../etc/shadow" }], "escapes"],
    ["an absolute hard link", [{ name: "h", type: "1", linkName: "/etc/shadow" }], "escapes"],
    ["a hard link to nothing", [{ name: "h", type: "1", linkName: "x" }], "bad-link"],
    [
      "a hard link to a directory",
      [
        { name: "d/", type: "5" },
        { name: "h", type: "1", linkName: "d" },
      ],
      "bad-link",
    ],
    [
      "a hard link through a symlink",
      [{ name: "l", type: "2", linkName: "." }, { name: "f" }, { name: "h", type: "1", linkName: "l/f" }],
      "through-link",
    ],
    [
      "a file through a symlink",
      [
        { name: "l", type: "2", linkName: "/etc" },
        { name: "l/passwd", content: "x" },
      ],
      "through-link",
    ],
    [
      "a whiteout through a symlink",
      [{ name: "l", type: "2", linkName: "/etc" }, { name: "l/.wh.passwd" }],
      "through-link",
    ],
    ["a file below a file", [{ name: "f" }, { name: "f/g" }], "through-link"],
    [
      "a symlink in place of a directory",
      [{ name: "d/f" }, { name: "d", type: "2", linkName: "/etc" }],
      "replaces-directory",
    ],
    ["a symlink to nothing", [{ name: "l", type: "2" }], "bad-link"],
    ["a root that is a symlink", [{ name: "./", type: "2", linkName: "/" }], "bad-name"],
    ["a device", [{ name: "d", type: "4", major: 8, minor: 0 }], "device"],
    ["a forged whiteout", [{ name: "d", type: "3" }], "device"],
    ["a whiteout of nothing", [{ name: ".wh." }], "bad-whiteout"],
    ["a whiteout of its directory", [{ name: "d/.wh.." }], "bad-whiteout"],
    ["a whiteout of its parent", [{ name: "d/.wh..." }], "bad-whiteout"],
    ["a name below a whiteout", [{ name: ".wh.x/y" }], "bad-whiteout"],
    ["a whiteout that is a directory", [{ name: ".wh.x/", type: "5" }], "bad-whiteout"],
    ["a long component", [{ name: "x".repeat(256) }], "bad-name"],
    [
      "attributes without measure",
      [{ name: "f", pax: { "SCHILY.xattr.user.a": "x".repeat(70_000) } }],
      "bad-attribute",
    ],
  ] as [string, MadeEntry[], string][])("refuses %s", (_title, entries, problem) => {
    expect(() => list(entries)).toThrow(LayerError);
    expect(() => list(entries)).toThrow(expect.objectContaining({ problem }));
  });

  it("counts implied directories and content against the limits", () => {
    const deep = [{ name: "a/".repeat(50) }, { name: "b/".repeat(50) }];
    expect(() => list(deep, { entriesMax: 60 })).toThrow(/more than 60 entries/);
    expect(() => list([{ name: "a", content: "x".repeat(600), statedSize: 600 }], { contentBytesMax: 500 })).toThrow(
      /limit of 500/,
    );
  });

  it("keeps or leaves out devices when told", () => {
    const entries = [{ name: "null", type: "3", major: 1, minor: 3, mode: 0o666 }];
    expect(list(entries, { devices: "keep" })).toContain("/null char 666 0:0 0 x1 1:3");
    expect(list(entries, { devices: "skip" })).toEqual(["/ directory 755 0:0 x2"]);
    expect(() => list([{ name: "d", type: "3" }], { devices: "keep" })).toThrow(/hide a file/);
    expect(() => list(entries)).toThrow(/must not have/);
    expect(list([{ name: "./dev/null", type: "3", major: 1, minor: 3 }])).toEqual([
      "/ directory 755 0:0 x3",
      "/dev directory 755 0:0 x2",
    ]);
  });

  it("writes content of every length, also with attributes before its end", () => {
    const lengths = [0, 1, 4_031, 4_032, 4_033, 4_095, 4_096, 4_097, 8_191, 8_192, 70_000];
    const entries = lengths.flatMap((length, i): MadeEntry[] => {
      const content = Uint8Array.from({ length }, (_, k) => (k * 7 + i) & 0xff);
      const pax = { "SCHILY.xattr.user.x": "v".repeat(i * 40) };
      return [
        { name: `plain${length}`, content },
        { name: `attr${length}`, content, ...(i === 0 ? {} : { pax }) },
      ];
    });
    const { reader, bytes } = buildLayer(makeTar(entries), {}, 1_000);
    expect(bytes.length % 4096).toBe(0);
    for (const { name, content } of entries) {
      const found = findInLayers([reader], `/${name}`);
      const isSame = found !== undefined && Buffer.from(reader.content(found.inode)).equals(content as Uint8Array);
      expect(`${name} ${isSame}`).toBe(`${name} true`);
    }
  });

  it("sorts directories of any size by bytes, in blocks that can be searched", () => {
    const names = Array.from({ length: 700 }, (_, i) => `${"é%Aa~.!"[i % 7]}${i}${"n".repeat(i % 60)}`).map((n) =>
      bytesToText(new TextEncoder().encode(n)),
    );
    const { reader } = buildLayer(makeTar(names.map((name) => ({ name: `big/${name}` }))));
    const big = findInLayers([reader], "/big");
    const found = big === undefined ? [] : reader.entries(big.inode).map((e) => e.name);
    expect(found).toEqual(names.toSorted());
    expect(big && big.inode.size > 4096).toBe(true);
  });

  it("seals the first block so that a change is seen", () => {
    const block = buildLayer(makeTar([{ name: "a" }])).bytes.slice(0, 4096);
    const before = unsealSuperblock(block).block;
    sealSuperblock(block, new Uint8Array(16).fill(9));
    expect(readSuperblock(block)).toMatchObject({ ok: true });
    expect(unsealSuperblock(block)).toEqual({ block: before, seal: new Uint8Array(16).fill(9) });
    expect(readSuperblock(block.with(1_100, 1))).toMatchObject({ ok: false });
    expect(readSuperblock(new Uint8Array(4096))).toEqual({ ok: false, problem: "is not an EROFS image" });
  });

  const name = fc.array(fc.constantFrom("a", "b", "c", ".wh.a", ".wh..wh..opq", "..", ".", "é"), {
    minLength: 1,
    maxLength: 4,
  });
  const made = fc.record({
    name: name.map((parts) => bytesToText(new TextEncoder().encode(parts.join("/")))),
    type: fc.constantFrom("0", "0", "0", "1", "2", "5", "5", "6", "3"),
    linkName: name.map((parts) => parts.join("/")),
    content: fc.uint8Array({ maxLength: 5_000 }),
  });

  it("builds an image that can be read whole, or refuses, for any entries; pieces do not matter", () => {
    fc.assert(
      fc.property(fc.array(made, { maxLength: 12 }), fc.integer({ min: 1, max: 3_000 }), (entries, pieceBytes) => {
        const tar = makeTar(entries.map((e) => (e.type === "0" ? e : { ...e, content: "" })));
        const outcome = (size: number) => {
          try {
            const { bytes, reader } = buildLayer(tar, {}, size);
            return { bytes: Buffer.from(bytes).toString("latin1"), lines: listImage(reader) };
          } catch (error) {
            return { refused: error };
          }
        };
        const [pieces, whole] = [outcome(pieceBytes), outcome(tar.length)];
        expect(pieces).toEqual(whole);
        expect(whole.refused === undefined || whole.refused instanceof LayerError).toBe(true);
        expect(whole.lines?.some((line) => line.split(" ")[0]?.includes(".wh.")) ?? false).toBe(false);
      }),
      { numRuns: 400 },
    );
  });

  it("reads a damaged image without harm", () => {
    const { bytes } = buildLayer(
      makeTar([{ name: "d/a", content: "x".repeat(5_000), pax: { "SCHILY.xattr.user.a": "b" } }, { name: "d/b" }]),
    );
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 }), (at, byte) => {
        const changed = bytes.with(at, byte);
        const reader = new ErofsReader((offset, length) => changed.subarray(offset, offset + length));
        const read = () => {
          findInLayers([reader], "/d/a");
          const found = findInLayers([reader], "/d/b");
          if (found !== undefined) reader.content(found.inode, 1_000_000);
        };
        expect(returnsOrThrows(read, LayerError)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

describe("findInLayers", () => {
  const stack = (...layers: MadeEntry[][]) => layers.map((entries) => buildLayer(makeTar(entries)).reader);
  const read = (layers: ErofsReader[], path: string) => {
    const found = findInLayers(layers, path);
    return found === undefined
      ? undefined
      : found.inode.kind === "file"
        ? bytesToText(found.reader.content(found.inode))
        : found.inode.kind;
  };
  const base = [
    { name: "etc/passwd", content: "base" },
    { name: "etc/group", content: "group" },
    { name: "lib", type: "2", linkName: "usr/lib" },
    { name: "usr/lib/x", content: "x" },
    { name: "up", type: "2", linkName: "../../../etc/passwd" },
    { name: "loop", type: "2", linkName: "loop" },
  ];

  it.each([
    ["a file", [base], "/etc/passwd", "base"],
    ["the upper one", [base, [{ name: "etc/passwd", content: "upper" }]], "/etc/passwd", "upper"],
    ["the other one stays", [base, [{ name: "etc/passwd", content: "upper" }]], "/etc/group", "group"],
    ["a whiteout", [base, [{ name: "etc/.wh.passwd" }]], "/etc/passwd", undefined],
    ["a whiteout of the directory", [base, [{ name: ".wh.etc" }]], "/etc/passwd", undefined],
    ["an opaque directory", [base, [{ name: "etc/.wh..wh..opq" }]], "/etc/passwd", undefined],
    [
      "above an opaque directory",
      [base, [{ name: "etc/.wh..wh..opq" }], [{ name: "etc/passwd", content: "top" }]],
      "/etc/passwd",
      "top",
    ],
    ["through a link", [base], "/lib/x", "x"],
    ["a link that leaves stays inside", [base], "/up", "base"],
    ["a loop ends", [base], "/loop", undefined],
    ["a directory in place of a link", [base, [{ name: "lib/y", content: "y" }]], "/lib/x", undefined],
    ["a file in place of a directory", [base, [{ name: "etc", content: "f" }]], "/etc/passwd", undefined],
    ["a directory", [base], "/usr/lib", "directory"],
    ["nothing", [base], "/nothing/at/all", undefined],
  ] as [string, MadeEntry[][], string, string | undefined][])("%s", (_title, layers, path, want) => {
    expect(read(stack(...layers), path)).toBe(want);
  });

  it("knows bytes that are not text", () => {
    expect(textToBytes(bytesToText(new Uint8Array([0, 200, 255])))).toEqual(new Uint8Array([0, 200, 255]));
  });
});
