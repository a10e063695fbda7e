import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeGrpcMessage, encodeGrpcMessage, parseTimeout } from "./wire.ts";

describe("grpc-timeout", () => {
  it.each([
    ["1H", 3_600_000],
    ["2M", 120_000],
    ["5S", 5_000],
    ["99999999m", 99_999_999],
    ["1500u", 1.5],
    ["1000000n", 1],
    ["0m", 0],
    ["", undefined],
    ["5", undefined],
    ["5s", undefined],
    ["-1S", undefined],
    ["123456789S", undefined],
    ["1S ", undefined],
  ])("%s is %s ms", (value, want) => expect(parseTimeout(value)).toBe(want));
});

describe("grpc-message", () => {
  it("leaves plain text alone and escapes the rest", () => {
    expect(encodeGrpcMessage("etcdserver: key not found")).toBe("etcdserver: key not found");
    expect(encodeGrpcMessage("50%\n☺")).toBe("50%25%0A%E2%98%BA");
    expect(decodeGrpcMessage("bad %zz stays %4")).toBe("bad %zz stays %4");
  });

  it("survives the round trip", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (s) => {
        const wire = encodeGrpcMessage(s);
        expect(wire).toMatch(/^[\x20-\x7e]*$/);
        expect(decodeGrpcMessage(wire)).toBe(s);
      }),
    );
  });
});
