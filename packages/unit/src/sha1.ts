/**
 * SHA-1 in hex, for fleet's unit hash only: a name for content, not a defence against anyone. Source: RFC 3174.
 * Here because a pure core cannot import node:crypto, against which it is tested.
 */
export function sha1(data: Uint8Array): string {
  const padded = pad(data);
  const words = new DataView(padded.buffer);
  const state = new Uint32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]);
  const w = new Uint32Array(80);
  for (let block = 0; block < padded.length; block += 64) {
    for (let t = 0; t < 16; t++) w[t] = words.getUint32(block + t * 4);
    for (let t = 16; t < 80; t++) w[t] = rotl(at(w, t - 3) ^ at(w, t - 8) ^ at(w, t - 14) ^ at(w, t - 16), 1);
    compress(state, w);
  }
  return Array.from(state, (word) => word.toString(16).padStart(8, "0")).join("");
}

function compress(state: Uint32Array, w: Uint32Array): void {
  let a = at(state, 0);
  let b = at(state, 1);
  let c = at(state, 2);
  let d = at(state, 3);
  let e = at(state, 4);
  for (let t = 0; t < 80; t++) {
    const [f, k] = round(t, b, c, d);
    const next = (rotl(a, 5) + f + e + k + at(w, t)) >>> 0;
    e = d;
    d = c;
    c = rotl(b, 30);
    b = a;
    a = next;
  }
  for (const [i, word] of [a, b, c, d, e].entries()) state[i] = at(state, i) + word;
}

function round(t: number, b: number, c: number, d: number): readonly [number, number] {
  if (t < 20) return [((b & c) | (~b & d)) >>> 0, 0x5a827999];
  if (t < 40) return [(b ^ c ^ d) >>> 0, 0x6ed9eba1];
  if (t < 60) return [((b & c) | (b & d) | (c & d)) >>> 0, 0x8f1bbcdc];
  return [(b ^ c ^ d) >>> 0, 0xca62c1d6];
}

/** The message, a 1 bit, zeros, and the length in bits as 64 bits: a multiple of 64 bytes. */
function pad(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const padded = new Uint8Array(Math.ceil((data.length + 9) / 64) * 64);
  padded.set(data);
  padded[data.length] = 0x80;
  const tail = new DataView(padded.buffer, padded.length - 8);
  tail.setUint32(0, Math.floor(data.length / 0x20000000));
  tail.setUint32(4, (data.length << 3) >>> 0);
  return padded;
}

function rotl(word: number, bits: number): number {
  return ((word << bits) | (word >>> (32 - bits))) >>> 0;
}

function at(words: Uint32Array, i: number): number {
  return words[i] ?? 0;
}
