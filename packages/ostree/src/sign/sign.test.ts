import { createPrivateKey } from "node:crypto";
import { tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";
import { decodeMetadata } from "../core/decode.ts";
import { encodeMetadata } from "../core/encode.ts";
import { OstreeNotFoundError, OstreeSignError } from "../core/errors.ts";
import { commitTree } from "../repo/commit-tree.ts";
import { initRepo } from "../repo/open.ts";
import { mine, writeFiles } from "../repo/testing.ts";
import { generateKeys, parsePrivateKey, parsePublicKey } from "./keys.ts";
import { readCommitMeta, signCommit, verifyCommit } from "./sign.ts";
import { verifySignatures } from "./verify.ts";

// RFC 8032, section 7.1, test 2, in upstream's form.
const SEED = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
const PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
const SIGNATURE =
  "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
const base64 = (hex: string) => Buffer.from(hex, "hex").toString("base64");
const MESSAGE = new Uint8Array([0x72]);
const metaWith = (...signatures: Uint8Array[]) =>
  encodeMetadata([["ostree.sign.ed25519", { type: "aay", value: signatures }]]);

it("accepts the RFC's signature where upstream keeps it, and takes keys in each form", () => {
  const meta = metaWith(Buffer.from(SIGNATURE, "hex"));
  expect(verifySignatures(MESSAGE, meta, [base64(PUBLIC)])).toEqual({ ok: true, key: base64(PUBLIC) });
  const pem = parsePublicKey(base64(PUBLIC)).key.export({ format: "pem", type: "spki" }) as string;
  expect(verifySignatures(MESSAGE, meta, [pem])).toEqual({ ok: true, key: base64(PUBLIC) });
  const whole = parsePrivateKey(base64(SEED + PUBLIC));
  expect(parsePrivateKey(base64(SEED)).equals(whole)).toBe(true);
  const privatePem = whole.export({ format: "pem", type: "pkcs8" }) as string;
  expect(parsePrivateKey(privatePem).equals(createPrivateKey(privatePem))).toBe(true);
});

it.each<[string, Uint8Array | undefined, RegExp]>([
  ["no metadata", undefined, /not signed/],
  ["no signature", encodeMetadata([]), /not signed with Ed25519/],
  ["metadata that is none", new Uint8Array([1, 2, 3]), /cannot be read/],
  [
    "a signature of another type",
    encodeMetadata([["ostree.sign.ed25519", { type: "s", value: "x" }]]),
    /cannot be read/,
  ],
  ["a signature that is too short", metaWith(new Uint8Array(63)), /none of its 1 signatures/],
  ["another's signature", metaWith(new Uint8Array(64)), /none of its 1 signatures/],
  ["more signatures than anyone makes", metaWith(...Array.from({ length: 65 }, () => new Uint8Array(64))), /too many/],
])("does not accept %s", (_title, meta, reason) => {
  const verdict = verifySignatures(MESSAGE, meta, [base64(PUBLIC)]);
  expect(verdict).toMatchObject({ ok: false, reason: expect.stringMatching(reason) });
});

it("refuses keys that are none, without repeating a secret", () => {
  const secret = base64(SEED + SEED);
  for (const bad of ["", "hello", base64(SEED).slice(4), secret]) {
    expect(() => parsePrivateKey(bad)).toThrow(OstreeSignError);
    expect(() => parsePublicKey(bad)).toThrow(OstreeSignError);
  }
  expect(() => parsePrivateKey(secret)).toThrow(/halves/);
  expect(() => parsePrivateKey(secret)).not.toThrow(secret);
});

it("several sign, any trusted one is enough, and a revoked one is not", async () => {
  await using dir = await tempDir();
  const repo = await initRepo(dir.join("r"), { mode: "archive" });
  const { checksum } = await commitTree(repo, writeFiles(dir.join("t"), { a: "b" }), mine());
  const [old, current, stranger] = [generateKeys(), generateKeys(), generateKeys()];
  if (old === undefined || current === undefined || stranger === undefined) throw new Error("three keys");
  expect(await verifyCommit(repo, checksum, [old.publicKey])).toMatchObject({ ok: false, reason: "it is not signed" });
  await signCommit(repo, checksum, old.privateKey);
  await signCommit(repo, checksum, old.privateKey);
  await signCommit(repo, checksum, current.privateKey);
  const meta = (await readCommitMeta(repo, checksum)) ?? new Uint8Array();
  expect(decodeMetadata(meta).map(([key, { value }]) => [key, (value as unknown[]).length])).toEqual([
    ["ostree.sign.ed25519", 2],
  ]);
  const verify = (trusted: readonly string[], revoked: readonly string[] = []) =>
    verifyCommit(repo, checksum, trusted, revoked);
  expect(await verify([current.publicKey])).toEqual({ ok: true, key: current.publicKey });
  expect(await verify([stranger.publicKey, old.publicKey])).toEqual({ ok: true, key: old.publicKey });
  expect(await verify([stranger.publicKey])).toMatchObject({ ok: false });
  expect(await verify([])).toMatchObject({ ok: false });
  expect(await verify([old.publicKey], [old.publicKey])).toMatchObject({
    ok: false,
    reason: expect.stringMatching(/revoked/),
  });
  expect(await verify([old.publicKey, current.publicKey], [old.publicKey])).toMatchObject({ key: current.publicKey });
  await expect(verifyCommit(repo, "0".repeat(64), [])).rejects.toThrow(OstreeNotFoundError);
});
