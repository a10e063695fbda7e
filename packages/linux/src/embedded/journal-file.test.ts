import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import fc from "fast-check";
import { afterEach, beforeEach, expect, it } from "vitest";
import { formatJournalLine, JOURNAL_FILE_BYTES_MAX, JOURNAL_LINE_LENGTH_MAX, JournalFile } from "./journal-file.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "keelson-journal-"));
  path = join(directory, "a.log");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const open = () => new JournalFile(path, () => 0);

async function capture(chunks: readonly Uint8Array[]): Promise<string[]> {
  rmSync(path, { force: true });
  const journal = open();
  const stream = new PassThrough();
  journal.capture(stream, "stdout", "sh", 1);
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  await new Promise((resolve) => stream.once("close", resolve));
  journal.close();
  return open()
    .read()
    .map((line) => line.text);
}

it("cuts a stream into lines, wherever its chunks end", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ unit: "grapheme" })), fc.nat(20), async (parts, size) => {
      const text = parts.join("\n");
      const bytes = Buffer.from(text);
      const step = size + 1;
      const chunks = Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) =>
        bytes.subarray(i * step, (i + 1) * step),
      );
      const want = text.split("\n");
      if (want.at(-1) === "") want.pop();
      expect(await capture(chunks)).toEqual(want);
    }),
    { numRuns: 50 },
  );
});

it("splits lines that are too long and keeps bytes that are not UTF-8 from harm", async () => {
  expect((await capture([Buffer.alloc(JOURNAL_LINE_LENGTH_MAX + 5, "x")])).map((l) => l.length)).toEqual([
    JOURNAL_LINE_LENGTH_MAX,
    5,
  ]);
  expect(await capture([Buffer.from([0x61, 0xff, 0x0a, 0x62])])).toEqual(["a\ufffd", "b"]);
});

it("stays within its bounds and keeps the newest lines", () => {
  const journal = open();
  const text = "x".repeat(1000);
  for (let i = 0; i < 4000; i++) journal.append("stdout", "sh", 1, `${i} ${text}`);
  journal.close();
  const sizes = readdirSync(directory).map((name) => statSync(join(directory, name)).size);
  expect(sizes).toHaveLength(2);
  for (const size of sizes) expect(size).toBeLessThanOrEqual(JOURNAL_FILE_BYTES_MAX);
  const seqs = open()
    .read()
    .map((line) => line.seq);
  expect(seqs.at(-1)).toBe(4000);
  expect(seqs).toEqual(seqs.map((_, i) => (seqs[0] ?? 0) + i));
});

it("goes on counting where it stopped, and skips what a crash tore", () => {
  const first = open();
  first.append("stdout", "sh", 1, "one");
  first.close();
  writeFileSync(path, '{"time":1,"seq":9,"te', { flag: "a" });
  writeFileSync(path, "\n[]\n", { flag: "a" });
  const second = open();
  second.append("stderr", "sh", 1, "two");
  expect(second.read().map(({ seq, text }) => [seq, text])).toEqual([
    [1, "one"],
    [2, "two"],
  ]);
  second.close();
  second.append("stderr", "sh", 1, "after the end");
  expect(open().read()).toHaveLength(2);
});

it("prints as journalctl does", () => {
  const time = new Date(2026, 10, 5, 3, 4, 5).getTime();
  expect(formatJournalLine({ time, seq: 1, stream: "stdout", ident: "sh", pid: 7, text: "hi" }, "m1")).toBe(
    "Nov 05 03:04:05 m1 sh[7]: hi",
  );
});
