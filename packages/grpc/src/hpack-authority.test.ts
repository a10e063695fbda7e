import fc from "fast-check";
import { expect, it } from "vitest";
import { decodeHuffman, rewriteAuthority } from "./hpack-authority.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

it.each([
  ["f1e3 c2e5 f23a 6ba0 ab90 f4ff", "www.example.com"],
  ["a8eb 1064 9cbf", "no-cache"],
  ["9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3", "https://www.example.com"],
  ["d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff", "Mon, 21 Oct 2013 20:13:21 GMT"],
])("decodes the Huffman code of RFC 7541 appendix C: %s", (bytes, want) =>
  expect(decodeHuffman(hex(bytes))).toBe(want),
);

it("rewrites the authority of RFC 7541 C.4.1, Huffman coded or not, and nothing else", () => {
  const rewrite = (a: string) => a.replaceAll(".", "-");
  const plain = "0f77 7777 2d65 7861 6d70 6c65 2d63 6f6d";
  expect(rewriteAuthority(hex("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"), rewrite)?.toString("hex")).toBe(
    hex(`8286 8441 ${plain}`).toString("hex"),
  );
  expect(
    rewriteAuthority(hex("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d 8287"), rewrite)?.toString("hex"),
  ).toBe(hex(`8286 8441 ${plain} 8287`).toString("hex"));
  expect(rewriteAuthority(hex("8286 8441 0161"), rewrite)).toBeUndefined();
  expect(rewriteAuthority(hex("8286 84"), rewrite)).toBeUndefined();
});

it("takes any bytes without failing", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      rewriteAuthority(Buffer.from(bytes), (a) => `${a}-`);
    }),
  );
});
