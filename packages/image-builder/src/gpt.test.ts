import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeGpt, encodeGuid, guidFrom, layOutDisk, MIB, PARTITION_TYPES, SECTOR_BYTES } from "./gpt.ts";

const guid = (text: string) => guidFrom(createHash("sha256").update(text).digest("hex"));
const disk = layOutDisk(guid("disk"), [
  { name: "esp", type: PARTITION_TYPES.esp, guid: guid("esp"), sizeMiB: 2 },
  { name: "root", type: PARTITION_TYPES.rootX64, guid: guid("root"), sizeMiB: 4 },
]);

/** The disk as bytes. */
function render(): Buffer {
  const bytes = Buffer.alloc(disk.sizeBytes);
  for (const { offset, data } of encodeGpt(disk)) bytes.set(data, offset);
  return bytes;
}

/** Checks a header as firmware does, and returns where it says things are. */
function readHeader(bytes: Buffer, lba: number) {
  const header = Buffer.from(bytes.subarray(lba * SECTOR_BYTES, lba * SECTOR_BYTES + 92));
  expect(header.toString("latin1", 0, 8)).toBe("EFI PART");
  const crc = header.readUInt32LE(16);
  header.writeUInt32LE(0, 16);
  expect(crc32(header)).toBe(crc);
  const number = (offset: number) => Number(header.readBigUInt64LE(offset));
  const table = bytes.subarray(number(72) * SECTOR_BYTES, number(72) * SECTOR_BYTES + 128 * 128);
  expect(crc32(table)).toBe(header.readUInt32LE(88));
  return { own: number(24), other: number(32), first: number(40), last: number(48), table };
}

describe("a GPT", () => {
  const bytes = render();
  const lastLba = disk.sizeBytes / SECTOR_BYTES - 1;

  it("has a protective MBR over the whole disk", () => {
    expect(bytes.readUInt16LE(510)).toBe(0xaa55);
    expect(bytes[450]).toBe(0xee);
    expect(bytes.readUInt32LE(458)).toBe(lastLba);
  });

  it("has two headers that point to each other and tables that are equal", () => {
    const primary = readHeader(bytes, 1);
    const backup = readHeader(bytes, lastLba);
    expect([primary.own, primary.other, backup.own, backup.other]).toEqual([1, lastLba, lastLba, 1]);
    expect(primary.table.equals(backup.table)).toBe(true);
  });

  it("has its partitions inside the usable space, on whole MiB, by name", () => {
    const { table, first, last } = readHeader(bytes, 1);
    const entries = [0, 1].map((i) => table.subarray(i * 128, (i + 1) * 128));
    expect(entries.map((e) => e.toString("utf16le", 56, 128).replace(/\0+$/, ""))).toEqual(["esp", "root"]);
    expect(entries.map((e) => Number(e.readBigUInt64LE(32)) * SECTOR_BYTES)).toEqual([MIB, 3 * MIB]);
    for (const e of entries) {
      expect(Number(e.readBigUInt64LE(32))).toBeGreaterThanOrEqual(first);
      expect(Number(e.readBigUInt64LE(40))).toBeLessThanOrEqual(last);
    }
    expect(table.subarray(2 * 128, 3 * 128).every((b) => b === 0)).toBe(true);
  });
});

describe("layOutDisk", () => {
  it("never lets partitions overlap, whatever their sizes", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5000 }), { maxLength: 10 }), (sizes) => {
        const laid = layOutDisk(
          guid("d"),
          sizes.map((sizeMiB, i) => ({ name: `p${i}`, type: PARTITION_TYPES.rootX64, guid: guid(`${i}`), sizeMiB })),
        );
        let end = MIB;
        for (const part of laid.partitions) {
          expect(part.startBytes).toBe(end);
          end += part.sizeBytes;
        }
        expect(laid.sizeBytes).toBe(end + MIB);
      }),
    );
  });

  it.each([0, -1, 1.5, Number.NaN])("refuses a partition of %d MiB", (sizeMiB) => {
    const part = { name: "root", type: PARTITION_TYPES.rootX64, guid: guid("r"), sizeMiB };
    expect(() => layOutDisk(guid("d"), [part])).toThrow(/a whole number from 1/);
  });
});

it("encodes GUIDs as UEFI does, and makes stable ones", () => {
  expect(encodeGuid("00112233-4455-6677-8899-aabbccddeeff").toString("hex")).toBe("33221100554477668899aabbccddeeff");
  expect(() => encodeGuid("nope")).toThrow(/is not a GUID/);
  expect(guid("a")).toBe(guid("a"));
  expect(guid("a")).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
