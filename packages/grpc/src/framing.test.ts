import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { frameBytes, MessageReader } from "./framing.ts";
import { RpcError } from "./status.ts";

/** Cuts bytes at the given places, in order. */
function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const points = [0, ...at.map((n) => n % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  return points.slice(1).map((end, i) => bytes.subarray(points[i], end));
}

function thrownBy(fn: () => unknown): unknown {
  try {
    fn();
  } catch (error) {
    return error;
  }
  return undefined;
}

const isRpcErrorOrNothing = (e: unknown): boolean => e === undefined || e instanceof RpcError;

describe("MessageReader", () => {
  it("finds the same messages however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }),
        fc.array(fc.nat(2_000), { maxLength: 8 }),
        (messages, at) => {
          const reader = new MessageReader(300, false);
          const got = cut(Buffer.concat(messages.map(frameBytes)), at).flatMap((chunk) => reader.push(chunk));
          expect(got).toEqual(messages);
          expect(reader.partial).toBe(false);
        },
      ),
    );
  });

  it("gives each message a buffer of its own size", () => {
    const chunk = Buffer.concat([frameBytes(new Uint8Array(10)), new Uint8Array(60_000)]).subarray(0, 15);
    expect(new MessageReader(100, false).push(chunk)[0]?.buffer.byteLength).toBe(10);
  });

  it("refuses a message over the limit as soon as its length is known", () => {
    expect(() => new MessageReader(10, false).push(new Uint8Array([0, 0, 0, 0, 11]))).toThrow(
      "grpc: received message larger than max (11 vs. 10)",
    );
  });

  it("inflates gzip within the limit", () => {
    const packed = frameBytes(gzipSync(new Uint8Array(100)));
    packed[0] = 1;
    expect(new MessageReader(100, true).push(packed)).toEqual([new Uint8Array(100)]);
    expect(() => new MessageReader(99, true).push(packed)).toThrow(/after decompression larger than max 99/);
    expect(() => new MessageReader(100, false).push(packed)).toThrow(/compressed flag set with identity/);
  });

  it("throws nothing but RpcError on any bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 5 }), fc.boolean(), (chunks, gzip) => {
        const reader = new MessageReader(32, gzip);
        expect(thrownBy(() => chunks.map((chunk) => reader.push(chunk)))).toSatisfy(isRpcErrorOrNothing);
      }),
    );
  });
});
