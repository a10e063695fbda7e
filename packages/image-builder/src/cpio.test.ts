import { expect, it } from "vitest";
import { type CpioEntry, encodeCpio } from "./cpio.ts";

/** Reads an archive as the kernel does (init/initramfs.c). */
function decode(archive: Uint8Array): { path: string; mode: number; data: string }[] {
  const bytes = Buffer.from(archive);
  const entries = [];
  for (let at = 0; ; ) {
    expect(bytes.toString("latin1", at, at + 6)).toBe("070701");
    const field = (i: number) => Number.parseInt(bytes.toString("latin1", at + 6 + i * 8, at + 14 + i * 8), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const path = bytes.toString("utf8", at + 110, at + 110 + nameSize - 1);
    const dataAt = Math.ceil((at + 110 + nameSize) / 4) * 4;
    if (path === "TRAILER!!!") return entries;
    entries.push({ path, mode, data: bytes.toString("utf8", dataAt, dataAt + size) });
    at = Math.ceil((dataAt + size) / 4) * 4;
  }
}

it("reads back as the kernel would read it, whatever the lengths of names and files", () => {
  const entries: CpioEntry[] = [{ path: "dev", mode: 0o040755 }];
  for (let n = 0; n < 9; n++) {
    entries.push({ path: `f${"x".repeat(n)}`, mode: 0o100644, data: Buffer.from("y".repeat(n)) });
  }
  entries.push({ path: "bin/sh", mode: 0o120777, data: Buffer.from("busybox") });
  const want = entries.map(({ path, mode, data }) => ({ path, mode, data: Buffer.from(data ?? []).toString() }));
  expect(decode(encodeCpio(entries))).toEqual(want);
});

it("gives equal bytes for equal entries", () => {
  const entries = [{ path: "a", mode: 0o100644, data: Buffer.from("1") }];
  expect(encodeCpio(entries)).toEqual(encodeCpio(entries));
});
