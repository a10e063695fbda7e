import fc from "fast-check";
import { expect, it } from "vitest";
import { encodeFrame, FrameError, FrameReader } from "./frames.ts";

it("frames come out whole, however the stream is cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 11 }), fc.uint8Array({ maxLength: 300 }))),
      fc.array(fc.nat(50)),
      (frames, cuts) => {
        const stream = Buffer.concat(frames.map(([kind, body]) => encodeFrame(kind, body)));
        const reader = new FrameReader();
        const out: (readonly [number, number[]])[] = [];
        let at = 0;
        for (const cut of [...cuts, stream.length]) {
          for (const f of reader.push(stream.subarray(at, at + cut))) out.push([f.kind, [...f.body]]);
          at += cut;
        }
        for (const f of reader.push(stream.subarray(at))) out.push([f.kind, [...f.body]]);
        expect(out).toEqual(frames.map(([kind, body]) => [kind, [...body]]));
      },
    ),
  );
});

it("a flipped bit is noticed", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), fc.nat(), fc.nat(7), (body, where, bit) => {
      const frame = encodeFrame(1, body);
      // Not in the length: that makes the reader wait for more, or refuse.
      const at = 4 + (where % (frame.length - 4));
      frame[at] = (frame[at] as number) ^ (1 << bit);
      expect(() => new FrameReader().push(frame)).toThrow(FrameError);
    }),
  );
});

it("no bytes make the reader fail in another way", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      let failure: unknown;
      try {
        new FrameReader().push(Buffer.from(bytes));
      } catch (error) {
        failure = error;
      }
      expect(failure === undefined || failure instanceof FrameError).toBe(true);
    }),
  );
});

it("an absurd length is refused before it is waited for", () => {
  expect(() => new FrameReader().push(Buffer.from("ffffffff00000000", "hex"))).toThrow(/a frame of 4294967295 bytes/);
});
