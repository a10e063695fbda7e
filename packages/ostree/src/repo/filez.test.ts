import { deflateRawSync } from "node:zlib";
import { CoreError } from "@keelson/types";
import fc from "fast-check";
import { expect, it } from "vitest";
import { encodeZlibFileHeader } from "../core/encode.ts";
import { parseFilez } from "./filez.ts";

const HEADER = { uid: 0, gid: 0, mode: 0o100644, symlinkTarget: "", xattrs: [] };
const filez = (content: Uint8Array, size = content.length) =>
  Buffer.concat([encodeZlibFileHeader(HEADER, size), deflateRawSync(content)]);

async function* inChunks(bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(bytes: Uint8Array, chunk = 1_000): Promise<Buffer> {
  const file = await parseFilez(inChunks(bytes, chunk));
  expect(file.header).toEqual(HEADER);
  return Buffer.concat(await Array.fromAsync(file.content));
}

it("reads back content in whatever chunks it comes", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 5_000 }),
      fc.integer({ min: 1, max: 2_000 }),
      async (content, chunk) => {
        expect(Buffer.compare(await read(filez(content), chunk), content)).toBe(0);
      },
    ),
    { numRuns: 50 },
  );
});

it.each<[string, Uint8Array, RegExp]>([
  ["nothing", new Uint8Array(), /cut short/],
  ["half a header", filez(Buffer.from("x")).subarray(0, 20), /cut short/],
  ["more than the header says", filez(Buffer.alloc(100_000), 10), /more than its header says/],
  ["less than the header says", filez(Buffer.from("x"), 10), /cut short/],
  ["a body that is cut", filez(Buffer.from("hello world, hello world")).subarray(0, -3), /damaged|cut short/],
  [
    "a body that is no deflate data",
    Buffer.concat([encodeZlibFileHeader(HEADER, 3), Buffer.from([0xff, 0xff])]),
    /damaged/,
  ],
  ["a header that is larger than any", Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1]), /too large/],
  ["padding that is not zero", Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 0]), /padding/],
])("refuses %s", async (_title, bytes, message) => {
  await expect(read(bytes)).rejects.toThrow(message);
});

it("inflates no more than the header says, however much there is", async () => {
  const bomb = filez(Buffer.alloc(50_000_000), 1_000);
  let inflated = 0;
  const file = await parseFilez(inChunks(bomb, 10_000));
  const consume = async () => {
    for await (const chunk of file.content) inflated += chunk.length;
  };
  await expect(consume()).rejects.toThrow(/more than/);
  expect(inflated).toBeLessThan(200_000);
});

it("hands on the source's own error, and closes the source when given up", async () => {
  let closed = false;
  const source = async function* (fail: boolean) {
    try {
      yield filez(Buffer.alloc(500_000, "abc")).subarray(0, 200);
      if (fail) throw new TypeError("connection reset");
      yield filez(Buffer.alloc(500_000, "abc")).subarray(200);
    } finally {
      closed = true;
    }
  };
  const failing = await parseFilez(source(true));
  await expect(Array.fromAsync(failing.content)).rejects.toThrow("connection reset");
  closed = false;
  const given = await parseFilez(source(false));
  for await (const _chunk of given.content) break;
  expect(closed).toBe(true);
});

it("of any bytes, fails with a typed error or not at all", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 60 }), async (noise, keep) => {
      const bytes = Buffer.concat([filez(Buffer.from("hello")).subarray(0, keep), noise]);
      try {
        const file = await parseFilez(inChunks(bytes, 7));
        await Array.fromAsync(file.content);
      } catch (error) {
        if (!(error instanceof CoreError)) throw error;
      }
    }),
    { numRuns: 300 },
  );
});
