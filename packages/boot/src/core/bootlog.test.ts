import { crc32 as zlibCrc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BOOT_STAGES,
  type BootRecord,
  decodeHead,
  decodeRecord,
  emptyHead,
  encodeHead,
  encodeRecord,
  readBootlog,
  recordSector,
} from "./bootlog.ts";
import { crc32 } from "./crc32.ts";
import { explainFailure } from "./reason.ts";

const record = fc.record({
  sequence: fc.nat(1e9),
  entry: fc.integer({ min: 1, max: 999 }).map((n) => `keelson-${n}`),
  attempt: fc.integer({ min: 1, max: 99 }),
  stage: fc.constantFrom(...BOOT_STAGES),
});

describe("a record", () => {
  it("round-trips, and long details are cut", () => {
    fc.assert(
      fc.property(record, fc.string({ unit: "binary", maxLength: 600 }), (r, detail) => {
        const sector = encodeRecord({ ...r, detail });
        expect(sector.length).toBe(512);
        const { detail: got = "", ...rest } = decodeRecord(sector) ?? {};
        expect(rest).toEqual(r);
        expect(detail.toWellFormed().replaceAll("\ufffd", "?").startsWith(got.replaceAll("\ufffd", "?"))).toBe(true);
      }),
    );
  });

  it("with any byte changed is no record, or the same", () => {
    fc.assert(
      fc.property(record, fc.nat(511), fc.nat(255), (r, at, byte) => {
        const sector = encodeRecord(r);
        sector[at] = byte;
        expect([undefined, r]).toContainEqual(decodeRecord(sector));
      }),
    );
  });

  it("any bytes are no record", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => decodeRecord(bytes) === undefined));
  });

  it("the head round-trips", () => {
    const head = { next: 12, entry: "keelson-3", attempt: 2 };
    expect(decodeHead(encodeHead(head))).toEqual(head);
    expect(decodeHead(encodeHead({ ...head, trial: "keelson-4" }))).toEqual({ ...head, trial: "keelson-4" });
    expect(decodeHead(emptyHead())).toEqual({ next: 0, entry: "none", attempt: 0 });
    expect(decodeHead(new Uint8Array(512))).toBeUndefined();
  });

  it("the CRC is zlib's", () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => crc32(bytes) === zlibCrc32(bytes)));
  });

  it("a ring of sectors holds the newest", () => {
    const partition = new Uint8Array(8 * 512);
    for (let sequence = 0; sequence < 20; sequence++) {
      const r: BootRecord = { sequence, entry: "keelson-1", attempt: 1, stage: "good" };
      partition.set(encodeRecord(r), recordSector(sequence, 8) * 512);
    }
    expect(readBootlog(partition).map((r) => r.sequence)).toEqual([13, 14, 15, 16, 17, 18, 19]);
  });
});

describe("the reason of a failure", () => {
  const trial = { id: "keelson-2", triesLeft: 0, triesDone: 3 };
  const at = (sequence: number, stage: BootRecord["stage"], detail?: string): BootRecord => ({
    sequence,
    entry: "keelson-2",
    attempt: 1,
    stage,
    ...(detail === undefined ? {} : { detail }),
  });
  it.each<[string, BootRecord[], string]>([
    ["a kernel panic", [], "no sign of life: the kernel panicked or hung before the initramfs started; 3 attempts"],
    [
      "a hang in the initramfs",
      [at(4, "initramfs"), at(5, "initramfs"), at(6, "initramfs", "waiting for PARTLABEL=root")],
      "stuck in the initramfs before the root was mounted (waiting for PARTLABEL=root); 3 attempts",
    ],
    [
      "a red gate",
      [at(4, "gate", "fleetd: no answer")],
      "the health gate was red (fleetd: no answer); 3 attempts; 2 of them without a sign of life",
    ],
    [
      "others' records do not count",
      [{ ...at(4, "good"), entry: "keelson-1" }],
      "no sign of life: the kernel panicked or hung before the initramfs started; 3 attempts",
    ],
  ])("%s", (_title, records, want) => expect(explainFailure(trial, records).text).toBe(want));

  it("a gate that was red at the first try", () => {
    const reason = explainFailure({ id: "keelson-2", triesLeft: 0, triesDone: 1 }, [at(4, "gate", "etcd: no leader")]);
    expect(reason).toEqual({
      stage: "gate",
      attempts: 1,
      silent: 0,
      detail: "etcd: no leader",
      text: "the health gate was red (etcd: no leader); 1 attempt",
    });
  });
});
